"""What every kind of cluster is to the rest of the engine: a runner that has tiers of workers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from kdgat_models.errors import KdgatError, StageError

if TYPE_CHECKING:
    from distributed import Client

EventHandler = Callable[[dict[str, Any]], None]
Pool = Literal["cpu", "gpu"]


class Needs(NamedTuple):
    """What a stage asks for."""

    pool: Pool
    memory_mb: float


class Placement(NamedTuple):
    """Where a stage started, as its worker says."""

    worker: str  # address
    host: str
    job: str | None  # SLURM_JOB_ID
    time: float  # Unix time


class Tier(Protocol):
    """Workers of one size."""

    client: "Client"

    def workers(self) -> set[str]:
        """Addresses of the workers that are connected."""
        ...

    def complaint(self) -> KdgatError | None:
        """Why no worker will ever come, if that is so."""
        ...

    def news(self) -> str:
        """What a stage that has not started is waiting for."""
        ...


class Runner(Protocol):
    """A kind of cluster."""

    def tier(self, needs: Needs) -> Tier:
        """Workers that meet `needs`; started if there are none."""
        ...

    def slot(self, needs: Needs) -> Any:
        """A context manager that keeps the number of stages at a time within what the cluster may give."""
        ...

    def threads(self, pool: Pool) -> int:
        """Threads that one stage may use."""
        ...

    def cap_mb(self, pool: Pool) -> float:
        """Most memory that a stage can get."""
        ...

    def explain(self, placement: Placement, error: StageError) -> StageError:
        """What really happened, when a stage was ended from outside or its worker is gone."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...

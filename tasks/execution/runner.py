"""What every kind of cluster is to the rest of the engine: a runner, which has rungs of workers."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from config.errors import ConfigError
from kdgat_models.errors import StageError
from tasks.events import Started
from tasks.stage import Processor

if TYPE_CHECKING:
    from distributed.security import Security

    from tasks.execution.rung import Rung


class Needs(NamedTuple):
    """What a stage asks for."""

    processor: Processor
    memory_mb: float


class RunPlace(NamedTuple):
    """What belongs to one pipeline run, whatever it runs on."""

    folder: Path  # takes logs and certificates
    name: str  # which its jobs carry


class Runner(ABC):
    """A kind of cluster. `slots` keep the number of stages at a time within what the cluster may give to a processor."""

    slots: dict[Processor, threading.BoundedSemaphore]

    @abstractmethod
    def size(self, needs: Needs) -> Hashable:
        """Stages of one size share a rung."""

    @abstractmethod
    def new_rung(self, needs: Needs, security: "Security") -> "Rung":
        """Workers that meet `needs`, not yet started."""

    @abstractmethod
    def threads(self, processor: Processor) -> int:
        """Threads that one stage may use."""

    @abstractmethod
    def cap_mb(self, processor: Processor) -> float:
        """Most memory that a stage can get."""

    def explain(self, started: Started, error: StageError) -> StageError:
        """What really happened, when a stage was ended from outside or its worker is gone."""
        return error

    def end(self, rungs: "Sequence[Rung]") -> None:  # noqa: B027  most kinds need not
        """End all workers of all rungs, if it takes long to close them, which is done one after the other."""


def check_runner(name: str) -> str:
    """`name`, if there is such a runner; a ConfigError lists all otherwise."""
    kind, separator, profile = name.partition(":")
    if kind not in ("local", "slurm") or (kind == "local" and separator):
        raise ConfigError(f"unknown runner {name!r}; there are: local, slurm (profile default), slurm:PROFILE")
    if kind == "slurm":
        from config.cluster import load_profile

        chosen = load_profile(profile or "default")
        if chosen.preprocessing:
            load_profile(chosen.preprocessing)
    return name

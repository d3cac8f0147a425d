"""One rung of the ladder of memory: workers of one size, which prefect-dask starts, adapts, connects to and closes."""

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import distributed
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import DaskTaskRunner

from kdgat_models.errors import ClusterError, KdgatError
from tasks.execution.dask_settings import apply_settings

if TYPE_CHECKING:
    from distributed.security import Security


class Rung(DaskTaskRunner):
    """Workers of one size. `client` submits to them: functions, which need no API of Prefect there, or tasks, which do."""

    look_s = 0.0  # between two looks at workers that have not come
    patience = 3  # so many that ended before they had come: the next would, too

    def __init__(
        self,
        cluster_class: Callable[..., Any],
        cluster_kwargs: dict[str, Any],
        security: "Security",
        adapt_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """What makes the cluster; its workers come when the rung is entered, and go when it is left."""
        super().__init__(
            cluster_class=cluster_class,
            cluster_kwargs={**cluster_kwargs, "security": security},
            adapt_kwargs=adapt_kwargs,
            client_kwargs={"security": security},
        )
        self._guard = threading.Lock()
        self._looked_at = time.monotonic()
        self._fruitless: set[Any] = set()  # processes that ended since a worker was last there
        self.logger.setLevel(logging.CRITICAL)  # what becomes of workers is said by the stage that waits for one

    def __enter__(self) -> Self:
        """Start the cluster."""
        apply_settings()
        super().__enter__()
        try:
            _ = self.client
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    @property
    def client(self) -> PrefectDaskClient:
        """The client of this rung's own cluster, also in a process that has a default client."""
        if self._client is not None:
            return self._client
        with distributed.Client.as_current(_NobodysClient()):  # pyright: ignore[reportArgumentType]
            return super().client

    @property
    def cluster(self) -> Any:
        """The cluster, once it is started."""
        return self._cluster

    def workers(self) -> set[str]:
        """Addresses of the workers that are connected."""
        return set(self.cluster.scheduler.workers)

    def complaint(self) -> KdgatError | None:
        """Why no worker will ever come, if that is so. Those that ended before they had come are replaced; Dask would wait."""
        with self._guard:
            if time.monotonic() - self._looked_at < self.look_s:
                return None
            self._looked_at = time.monotonic()
            connected = {str(worker.name) for worker in list(self.cluster.scheduler.workers.values())}
            if connected:
                self._fruitless.clear()
            waiting = {name: process for name, process in list(self.cluster.workers.items()) if str(name) not in connected}
            for name, tells in self.ended(waiting).items():
                self._fruitless |= {waiting[name]} if tells else set()
                self.cluster.loop.add_callback(self.cluster.scale_down, [name])
            return ClusterError(self.last_words()) if len(self._fruitless) >= self.patience else None

    @abstractmethod
    def ended(self, processes: dict[Any, Any]) -> dict[Any, bool]:
        """Names of those of `processes` that have ended, and whether that tells that the next would, too."""

    @abstractmethod
    def last_words(self) -> str:
        """That all workers end before they have come, and what the last one said."""

    @abstractmethod
    def news(self) -> str:
        """What a stage that has not started is waiting for."""


class _NobodysClient:
    """Stands before a default client of this process, which prefect-dask would adopt without a word, workers and all."""

    @property
    def cluster(self) -> Any:
        """Say what prefect-dask is told where there is no default client."""
        raise ValueError("a rung has a cluster of its own")

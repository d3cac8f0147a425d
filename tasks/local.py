"""Workers on this machine."""

import os
import threading
from pathlib import Path
from typing import Any

import psutil

from kdgat_models.errors import KdgatError, StageError
from tasks.dask_settings import apply_settings, private_folder
from tasks.runner import Needs, Placement, Pool


def local_workers() -> int:
    """Stages that run side by side on this machine: one per core and per 4 GB of memory, at most four."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return max(min(os.cpu_count() or 1, int(memory_gb // 4), 4), 1)


class LocalRunner:
    """A LocalCluster; all its workers are of one size, and a stage's memory is watched in its child process."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder
        self._tier: LocalTier | None = None
        self._guard = threading.Lock()
        self._slots = threading.BoundedSemaphore(local_workers())

    def tier(self, needs: Needs) -> "LocalTier":
        with self._guard:
            if self._tier is None:
                self._tier = LocalTier(self._folder)
            return self._tier

    def slot(self, needs: Needs) -> threading.BoundedSemaphore:
        return self._slots

    def threads(self, pool: Pool) -> int:
        return max((os.cpu_count() or 1) // local_workers(), 1)

    def cap_mb(self, pool: Pool) -> float:
        return float("inf")

    def explain(self, placement: Placement, error: StageError) -> StageError:
        return error

    def close(self) -> None:
        with self._guard:
            if self._tier is not None:
                self._tier.close()
                self._tier = None


class LocalTier:
    """The workers of a LocalCluster. Other users of this machine can reach its ports; TLS keeps them out."""

    def __init__(self, folder: Path) -> None:
        from distributed import Client, LocalCluster
        from distributed.security import Security

        apply_settings()
        security = Security.temporary()
        self.cluster: Any = LocalCluster(
            n_workers=local_workers(),
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            local_directory=str(private_folder(folder / "dask")),
            memory_limit=0,
        )
        self.client: Client = Client(self.cluster, security=security)

    def workers(self) -> set[str]:
        return set(self.cluster.scheduler.workers)

    def complaint(self) -> KdgatError | None:
        return None

    def news(self) -> str:
        return "waiting for a free worker"

    def close(self) -> None:
        self.client.close()
        self.cluster.close()

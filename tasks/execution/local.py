"""Workers on this machine."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

from config.secrets import without_secrets
from kdgat_models.errors import ClusterError, KdgatError, StageError
from tasks.execution.dask_settings import WORKER_OPTIONS, apply_settings, new_security, private_folder
from tasks.execution.dask_worker import PARENT
from tasks.execution.runner import Needs, Placement, Pool

HOST = "127.0.0.1"
FRUITLESS = 3  # times that all workers died before one was there: the next would, too


def local_workers() -> int:
    """Stages that run side by side on this machine: one per core and per 4 GB of memory, at most four."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return max(min(os.cpu_count() or 1, int(memory_gb // 4), 4), 1)


class LocalRunner:
    """Workers of this machine; all are of one size, and a stage's memory is watched in its child process."""

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
    """A Dask scheduler in this process, and workers of this machine in theirs.

    Other users of this machine can reach their ports; TLS keeps them out. Workers are started here, and not by a
    LocalCluster, because its workers have the whole environment of this process, secrets and all.
    """

    def __init__(self, folder: Path) -> None:
        from distributed import Client, SpecCluster

        from tasks.execution.dask_nodes import Scheduler

        apply_settings()
        self._folder, self._tls = private_folder(folder / "dask"), private_folder(folder / "tls")
        security = new_security(self._tls)
        options = {"host": HOST, "port": 0, "protocol": "tls://", "security": security, "dashboard": False}
        self.cluster: Any = SpecCluster(scheduler={"cls": Scheduler, "options": options}, security=security)
        self.client: Client = Client(self.cluster, security=security)
        self._command = self._worker_command(security.get_tls_config_for_role("worker"))
        self._guard = threading.Lock()
        self._deaths = 0  # since a worker was last there
        self._processes = [self._start(number) for number in range(local_workers())]

    def workers(self) -> set[str]:
        return set(self.cluster.scheduler.workers)

    def complaint(self) -> KdgatError | None:
        """Workers that died are replaced, unless all that come die at once."""
        with self._guard:
            if self.workers():
                self._deaths = 0
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    self._deaths += 1
                    self._processes[number] = self._start(number)
            if self._deaths < FRUITLESS * len(self._processes):
                return None
            log = self._log(0).read_text(errors="replace").splitlines()[-8:]
        return ClusterError("no Dask worker stays alive on this machine; the last one said:\n" + "\n".join(log))

    def news(self) -> str:
        return "waiting for a free worker"

    def close(self) -> None:
        self.client.close()
        self.cluster.close()
        with self._guard:
            for process in self._processes:
                process.kill()  # what still runs on it ends with it
                process.wait()
        for folder in (self._folder, self._tls):
            shutil.rmtree(folder, ignore_errors=True)

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def _worker_command(self, certificates: dict[str, str]) -> list[str]:
        tls = [f"--tls-{name.replace('_', '-')}={certificates[name]}" for name in ("ca_file", "cert", "key")]
        command = [sys.executable, "-m", "tasks.execution.dask_worker", self.cluster.scheduler_address, *WORKER_OPTIONS, *tls]
        return [*command, "--no-nanny", "--host", HOST, "--local-directory", str(self._folder)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        # By the cluster's thread, which lives as long as the cluster: the kernel ends a child with the thread that made it.
        return self.cluster.sync(self._start_in_thread, number)

    async def _start_in_thread(self, number: int) -> subprocess.Popen[bytes]:
        with self._log(number).open("ab") as log:
            environment = without_secrets(os.environ) | {PARENT: str(os.getpid())}
            # A session of its own: Ctrl-C in a terminal goes to the flow, which decides what becomes of its workers.
            return subprocess.Popen(self._command, stdout=log, stderr=log, env=environment, start_new_session=True)

"""Workers on this machine."""

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from distributed import LocalCluster
from distributed.deploy.spec import ProcessInterface

from config.secrets import without_secrets
from kdgat_models.errors import ClusterError, KdgatError, StageError
from tasks.execution.dask_nodes import Scheduler
from tasks.execution.dask_settings import WORKER_OPTIONS, private_folder
from tasks.execution.dask_worker import PARENT
from tasks.execution.rung import Rung
from tasks.execution.runner import Needs, Placement, RunPlace
from tasks.stage import Pool

if TYPE_CHECKING:
    from distributed.security import Security

HOST = "127.0.0.1"
FRUITLESS = 3  # times that all workers died before one was there: the next would, too
PAUSE_S = 0.2  # before a dead worker is replaced


def local_workers() -> int:
    """Stages that run side by side on this machine: one per core and per 4 GB of memory, at most four."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return max(min(os.cpu_count() or 1, int(memory_gb // 4), 4), 1)


class LocalRunner:
    """Workers of this machine; all are of one size, and a stage's memory is watched in its child process."""

    def __init__(self, place: RunPlace) -> None:
        self._place = place
        self._slots = threading.BoundedSemaphore(local_workers())

    def size(self, needs: Needs) -> str:
        return "all"

    def new_rung(self, needs: Needs, security: "Security") -> "LocalRung":
        return LocalRung(self._place.folder, security)

    def slot(self, needs: Needs) -> threading.BoundedSemaphore:
        return self._slots

    def threads(self, pool: Pool) -> int:
        return max((os.cpu_count() or 1) // local_workers(), 1)

    def cap_mb(self, pool: Pool) -> float:
        return float("inf")

    def explain(self, placement: Placement, error: StageError) -> StageError:
        return error

    def end(self, rungs: Sequence[Rung]) -> None:
        """Nothing: a local cluster is closed in no time."""


class LocalRung(Rung):
    """The workers of this machine."""

    def __init__(self, folder: Path, security: "Security") -> None:
        """`folder` is that of the pipeline run."""
        self._folder = private_folder(folder / "dask")
        options = {"n_workers": local_workers(), "threads_per_worker": 1, "host": HOST, "dashboard_address": None}
        kinds = {"worker_class": LocalWorker, "folder": self._folder, "silence_logs": False}
        super().__init__(OwnLocalCluster, {**options, **kinds}, security)
        self._guard = threading.Lock()
        self._deaths = 0  # until a worker was last there

    def complaint(self) -> KdgatError | None:
        """Workers that die are replaced; there is something wrong if all that come die at once."""
        processes = list(self.cluster.workers.values())
        deaths = sum(process.deaths for process in processes)
        with self._guard:
            if self.workers():
                self._deaths = deaths
            if deaths - self._deaths < FRUITLESS * len(processes):
                return None
        said = "\n".join(processes[0].log.read_text(errors="replace").splitlines()[-8:])
        return ClusterError(f"no Dask worker stays alive on this machine; the last one said:\n{said}")

    def news(self) -> str:
        return "waiting for a free worker"


class OwnLocalCluster(LocalCluster):
    """A LocalCluster whose scheduler opens no HTTP port; it has no option for that."""

    async def _start(self) -> None:
        self.scheduler_spec = {**(self.scheduler_spec or {}), "cls": Scheduler}
        await super()._start()


class LocalWorker(ProcessInterface):
    """A worker in a process of its own, which is replaced when it dies.

    It takes the place of Dask's nanny, whose workers have the whole environment of this process, secrets and all, get Ctrl-C
    from its terminal, run its `__main__` again, and open ports that speak HTTP. Other users of this machine can reach the one
    port that this worker opens; TLS keeps them out.
    """

    def __init__(self, scheduler: str, name: Any, folder: Path, security: "Security", **_: Any) -> None:
        """What LocalCluster says beyond that to its nannies is fixed here."""
        super().__init__(scheduler=scheduler, name=name)
        self.log = folder / f"worker-{name}.log"
        self.deaths = 0
        self.process: asyncio.subprocess.Process | None = None
        certificates = security.get_tls_config_for_role("worker")
        tls = [f"--tls-{file.replace('_', '-')}={certificates[file]}" for file in ("ca_file", "cert", "key")]
        options = [*WORKER_OPTIONS, *tls, "--no-nanny", "--host", HOST, "--local-directory", str(folder)]
        self._command = [sys.executable, "-m", "tasks.execution.dask_worker", scheduler, *options]

    async def start(self) -> None:
        """Start it, on the thread of the cluster, which lives as long: the kernel ends a child with the thread that made it."""
        self.process = await self._new_process()
        self._replacing = asyncio.create_task(self._replace_the_dead(self.process))
        await super().start()

    async def close(self) -> None:
        """End it; what still runs on it ends with it."""
        if self.process is not None:
            self._replacing.cancel()
            with suppress(asyncio.CancelledError):
                await self._replacing
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
        await super().close()

    async def _replace_the_dead(self, process: asyncio.subprocess.Process) -> None:
        while True:
            await process.wait()
            self.deaths += 1
            await asyncio.sleep(PAUSE_S)
            self.process = process = await self._new_process()

    async def _new_process(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            environment = without_secrets(os.environ) | {PARENT: str(os.getpid())}
            # A session of its own: Ctrl-C in a terminal goes to the flow, which decides what becomes of its workers.
            return await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )

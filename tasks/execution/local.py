"""Workers on this machine."""

import asyncio
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from distributed import LocalCluster
from distributed.deploy.spec import ProcessInterface

from config.secrets import without_secrets
from tasks.execution.dask_nodes import EndsWhatIsStarting, Scheduler
from tasks.execution.dask_settings import WORKER_OPTIONS, private_folder
from tasks.execution.dask_worker import PARENT
from tasks.execution.rung import Rung
from tasks.execution.runner import Needs, Runner, RunPlace
from tasks.stage import Processor

if TYPE_CHECKING:
    from distributed.security import Security

HOST = "127.0.0.1"


def local_workers() -> int:
    """Stages that run side by side on this machine: one per core and per 4 GB of memory, at most four."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return max(min(os.cpu_count() or 1, int(memory_gb // 4), 4), 1)


class LocalRunner(Runner):
    """Workers of this machine; all are of one size, and a stage's memory is watched in its child process."""

    def __init__(self, place: RunPlace) -> None:
        self._place = place
        slots = threading.BoundedSemaphore(local_workers())
        self.slots = {"cpu": slots, "gpu": slots}

    def size(self, needs: Needs) -> str:
        return "all"

    def new_rung(self, needs: Needs, security: "Security") -> "LocalRung":
        return LocalRung(self._place.folder, security)

    def threads(self, processor: Processor) -> int:
        return max((os.cpu_count() or 1) // local_workers(), 1)

    def cap_mb(self, processor: Processor) -> float:
        return float("inf")


class LocalRung(Rung):
    """The workers of this machine."""

    def __init__(self, folder: Path, security: "Security") -> None:
        """`folder` is that of the pipeline run."""
        self._folder = private_folder(folder / "dask")
        workers = local_workers()
        self.patience = Rung.patience * workers
        options = {"n_workers": workers, "threads_per_worker": 1, "host": HOST, "dashboard_address": None}
        kinds = {"worker_class": LocalWorker, "folder": self._folder, "silence_logs": False}
        adapting = {"minimum": workers, "maximum": workers, "interval": "1s"}  # one that has ended is started anew
        super().__init__(OwnLocalCluster, {**options, **kinds}, security, adapting)

    def ended(self, processes: dict[Any, "LocalWorker"]) -> dict[Any, bool]:
        return {name: True for name, worker in processes.items() if worker.process.returncode is not None}

    def last_words(self) -> str:
        log = max(self._folder.glob("*.log"), key=lambda file: file.stat().st_mtime)
        said = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        return f"no Dask worker stays alive on this machine; the last one said:\n{said}"

    def news(self) -> str:
        return "waiting for a free worker"


class OwnLocalCluster(EndsWhatIsStarting, LocalCluster):
    """A LocalCluster whose scheduler opens no HTTP port; it has no option for that."""

    async def _start(self) -> None:
        self.scheduler_spec = {**(self.scheduler_spec or {}), "cls": Scheduler}
        await super()._start()


class LocalWorker(ProcessInterface):
    """A worker in a process of its own.

    It takes the place of Dask's nanny, whose workers have the whole environment of this process, secrets and all, get Ctrl-C
    from its terminal, run its `__main__` again, and open ports that speak HTTP. Other users of this machine can reach the one
    port that this worker opens; TLS keeps them out.
    """

    process: asyncio.subprocess.Process

    def __init__(self, scheduler: str, name: Any, folder: Path, security: "Security", **_: Any) -> None:
        """What LocalCluster says beyond that to its nannies is fixed here."""
        super().__init__(scheduler=scheduler, name=name)
        self._log = folder / f"worker-{name}.log"
        certificates = security.get_tls_config_for_role("worker")
        tls = [f"--tls-{file.replace('_', '-')}={certificates[file]}" for file in ("ca_file", "cert", "key")]
        options = [*WORKER_OPTIONS, *tls, "--no-nanny", "--host", HOST, "--local-directory", str(folder), "--name", str(name)]
        self._command = [sys.executable, "-m", "tasks.execution.dask_worker", scheduler, *options]

    async def start(self) -> None:
        """Start it, on the thread of the cluster, which lives as long: the kernel ends a child with the thread that made it."""
        with self._log.open("ab") as log:
            environment = without_secrets(os.environ) | {PARENT: str(os.getpid())}
            # A session of its own: Ctrl-C in a terminal goes to the flow, which decides what becomes of its workers.
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        await super().start()

    async def close(self) -> None:
        """End it; what still runs on it ends with it."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await super().close()

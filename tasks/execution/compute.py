"""Where stages run: Dask workers of this machine or of a cluster, which start with the first stage that has to run.

One mechanism for all stages, mapped or not: a supervisor (a Prefect task in a thread beside the flow) submits a plain
function to a worker whose size fits, and the worker runs it in a child process. What a worker's end means is decided beside
the flow too, because Prefect's own retries never fire when a worker dies.
"""

import shutil
import threading
import uuid
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from config.paths import Paths
from kdgat_models.errors import StageInterrupted
from tasks.events import EventHandler
from tasks.execution.child import StageCall, StageOutcome
from tasks.execution.cleanup import SCRATCH, alive, clean_up
from tasks.execution.dask_settings import new_security, private_folder
from tasks.execution.rung import Rung
from tasks.execution.runner import Needs, Runner, RunPlace, check_runner
from tasks.execution.submission import NeverStartedError, Submission

if TYPE_CHECKING:
    from distributed.security import Security

OPEN: "list[Compute]" = []


class Compute:
    """A runner by name, and its rungs; `run` may be called from several threads."""

    def __init__(self, runner: str, place: RunPlace) -> None:
        """`place` is the pipeline run's."""
        self.runner = _make_runner(runner, place)
        self.folder = place.folder
        self.closed = False  # the flow has ended or was stopped; what still runs is ended with it
        self._rungs: dict[Hashable, Rung] = {}
        self._open = ExitStack()
        self._security: Security | None = None
        self._guard = threading.Lock()

    def run(self, call: StageCall, needs: Needs, on_event: EventHandler) -> StageOutcome:
        """Run a stage on a worker and pass on what it says.

        Raises:
            StageOutOfMemory, StageInterrupted, StageError: as `run_in_child`, or found out from the cluster.
            ClusterError: no worker will come.
        """
        with self.runner.slots[needs.processor]:
            rung = self.rung(needs)
            while True:
                submission = Submission(self.runner, rung, call, on_event, f"{self.folder.name}-{uuid.uuid4().hex}")
                with suppress(NeverStartedError):
                    return submission.outcome()

    def rung(self, needs: Needs) -> Rung:
        """Workers that meet `needs`, which start when they are first asked for; none do for a flow that has been stopped."""
        size = self.runner.size(needs)
        with self._guard:
            if self.closed:
                raise StageInterrupted("its flow has been stopped", "stopped")
            if self._security is None:
                self._security = new_security(private_folder(self.folder / "tls"))
            if size not in self._rungs:
                self._rungs[size] = self._open.enter_context(self.runner.new_rung(needs, self._security))
            return self._rungs[size]

    def close(self) -> None:
        """Stop all clusters, and with them whatever still runs on them."""
        with self._guard:
            self.closed = True
            self.runner.end(list(self._rungs.values()))
            self._rungs.clear()
            try:
                self._open.close()
            finally:
                for scratch in SCRATCH:
                    shutil.rmtree(self.folder / scratch, ignore_errors=True)


def _make_runner(name: str, place: RunPlace) -> Runner:
    kind, _, profile = check_runner(name).partition(":")
    if kind == "local":
        from tasks.execution.local import LocalRunner

        return LocalRunner(place)
    from tasks.execution.slurm.cluster import SlurmRunner, import_jobqueue

    import_jobqueue()
    return SlurmRunner(profile or "default", place)


@contextmanager
def open_compute(runner: str, paths: Paths, pipeline_run: str) -> Iterator[Compute]:
    """A `Compute` that is closed at the end, whatever happened. What killed runs have left is cleaned up first."""
    clean_up(paths)
    compute = Compute(runner, RunPlace(paths.pipeline(pipeline_run), f"kdgat-{pipeline_run[:8]}"))
    with alive(paths, pipeline_run):
        OPEN.append(compute)
        try:
            yield compute
        finally:
            compute.close()
            OPEN.remove(compute)


def close_open() -> None:
    """Close what a flow has open, on its behalf: it is told to end, and cannot."""
    for compute in list(OPEN):
        compute.close()

"""Where stages run: Dask workers of this machine or of a cluster, which start with the first stage that has to run.

One mechanism for all stages, mapped or not: a supervisor (a Prefect task in a thread beside the flow) submits a plain
function to a worker whose size fits, and the worker runs it in a child process. What a worker's end means is decided here,
because Prefect's own retries never fire when a worker dies.
"""

import importlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import ConfigError
from config.paths import Paths
from kdgat_models.errors import StageError, StageInterrupted, StageOutOfMemory
from tasks.execution.child import StageCall, StageOutcome, run_in_child
from tasks.execution.cleanup import MARK, alive, clean_up
from tasks.execution.runner import EventHandler, Needs, Placement, Runner, Tier

if TYPE_CHECKING:
    from distributed import Future

POLL_S = 0.5
GONE_S = 3.0  # a worker that the scheduler has not known for so long is gone
NEWS_S = 30.0
OPEN: "list[Compute]" = []


class Compute:
    """A runner by name; `run` may be called from several threads."""

    def __init__(self, runner: str, run_folder: Path, name: str) -> None:
        """`run_folder` takes logs and certificates of this pipeline run, whose `name` its jobs carry."""
        kind, _, profile = check_runner(runner).partition(":")
        if kind == "slurm":
            from tasks.execution.slurm.cluster import import_jobqueue

            import_jobqueue()
        self.folder = run_folder
        self._make: Callable[[], Runner] = lambda: _make_runner(kind, profile or "default", run_folder, name)
        self._runner: Runner | None = None
        self._guard = threading.Lock()
        self.closed = False  # the flow has ended or was stopped; what still runs is ended with it

    @property
    def runner(self) -> Runner:
        """The runner, which is made when it is first asked for; none is made for a flow that has been stopped."""
        with self._guard:
            if self.closed:
                raise StageInterrupted("its flow has been stopped", "stopped")
            if self._runner is None:
                self._runner = self._make()
            return self._runner

    def run(self, call: StageCall, needs: Needs, on_event: EventHandler) -> StageOutcome:
        """Run a stage on a worker and pass on what it says.

        Raises:
            StageOutOfMemory, StageInterrupted, StageError: as `run_in_child`, or found out from the cluster.
            ClusterError: no worker will come.
        """
        with self.runner.slot(needs):
            tier = self.runner.tier(needs)
            while True:
                submission = Submission(self.runner, tier, call, on_event, f"{self.folder.name}-{uuid.uuid4().hex}")
                with suppress(_NeverStartedError):
                    return submission.outcome()

    def close(self) -> None:
        """Stop the cluster, and with it whatever still runs on it."""
        with self._guard:
            self.closed = True
            if self._runner is not None:
                self._runner.close()
                self._runner = None


class _NeverStartedError(Exception):
    """A worker died with this stage in its queue: another stage's fault, nothing is lost."""


class Submission:
    """One stage on its way to a worker, and on it."""

    def __init__(self, runner: Runner, tier: Tier, call: StageCall, on_event: EventHandler, ticket: str) -> None:
        self.runner, self.tier, self.call, self.on_event = runner, tier, call, on_event
        self.ticket = ticket  # names the flow run, and this submission among all
        self.placement: Placement | None = None
        self._gone_since = 0.0
        self._news_at = time.monotonic() + NEWS_S

    def outcome(self) -> StageOutcome:
        """Wait for the end; raises what `Compute.run` does."""
        client = self.tier.client
        client.subscribe_topic(self.ticket, lambda event: self._heard(event[1]))
        # Every submission is a new attempt, never a result that Dask remembers.
        future = client.submit(on_worker, self.call, self.ticket, key=f"stage-{self.ticket}", pure=False, retries=0)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            while not done.wait(POLL_S):
                self._look_around()
            return self._result(future)
        finally:
            with suppress(OSError):
                _mark(self.call, self.ticket).unlink(missing_ok=True)
            if client.status == "running":  # it is closed under us when the flow is interrupted
                future.cancel()
                client.unsubscribe_topic(self.ticket)

    def _heard(self, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            self.placement = Placement(event["worker"], event["host"], event["job"], event["time"])
        self.on_event(event)

    def _look_around(self) -> None:
        """Raise if the stage will not end by itself: its worker is gone, or none will come."""
        if self.placement is None:
            complaint = self.tier.complaint()
            if complaint is not None:
                raise complaint
            if time.monotonic() > self._news_at:
                self._news_at = time.monotonic() + NEWS_S
                self.on_event({"event": "log", "message": self.tier.news()})
            return
        if self.placement.worker in self.tier.workers():
            self._gone_since = 0.0
            return
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since > GONE_S:
            raise self.runner.explain(self.placement, self._gone())

    def _result(self, future: "Future") -> StageOutcome:
        from distributed import KilledWorker

        try:
            ended = future.result()
        except KilledWorker as error:
            time.sleep(POLL_S)  # the message that it started may still be on its way
            if self.placement is None:
                raise _NeverStartedError from error
            raise self.runner.explain(self.placement, self._gone()) from None
        if isinstance(ended, StageInterrupted | StageOutOfMemory) and self.placement is not None:
            raise self.runner.explain(self.placement, ended)
        if isinstance(ended, StageError):
            raise ended
        return ended

    def _gone(self) -> StageInterrupted:
        assert self.placement is not None
        return StageInterrupted(f"the worker on {self.placement.host} that ran {self.call.function} is gone")


def on_worker(call: StageCall, ticket: str) -> StageOutcome | StageError:
    """Runs on a Dask worker: the stage in a child process, its events to the client.

    Dask gives a task to another worker when the first is gone. Two processes must not write to one folder, so a second
    start of the same submission is refused; whether to try again is decided by the supervisor.

    A failure is returned, not raised: of what is raised, Dask prints a dump with all arguments.
    """
    worker = importlib.import_module("distributed").get_worker()
    try:
        _mark(call, ticket).touch(exist_ok=False)
        started = {"event": "started", "worker": worker.address, "host": socket.gethostname(), "time": time.time()}
        worker.log_event(ticket, {**started, "job": os.environ.get("SLURM_JOB_ID")})
        return run_in_child(call, lambda event: worker.log_event(ticket, event))
    except StageError as error:
        return error
    except FileExistsError:
        return StageInterrupted(f"the worker that ran {call.function} is gone")
    except Exception as error:
        return StageError(f"{call.function} could not be run on {socket.gethostname()}: {type(error).__name__}: {error}")


def _mark(call: StageCall, ticket: str) -> Path:
    return Path(call.folder) / f"{MARK}{ticket}"


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


def _make_runner(kind: str, profile: str, run_folder: Path, name: str) -> Runner:
    if kind == "local":
        from tasks.execution.local import LocalRunner

        return LocalRunner(run_folder)
    from tasks.execution.slurm.cluster import SlurmRunner

    return SlurmRunner(profile, run_folder, name)


@contextmanager
def open_compute(runner: str, paths: Paths, pipeline_run: str) -> Iterator[Compute]:
    """A `Compute` that is closed at the end, whatever happened. What killed runs have left is cleaned up first."""
    clean_up(paths)
    compute = Compute(runner, paths.pipeline(pipeline_run), f"kdgat-{pipeline_run[:8]}")
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

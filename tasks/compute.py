"""Where stages run: a Dask cluster that starts with the first stage that has to run."""

import importlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from config.errors import ConfigError
from tasks.child import StageCall, StageOutcome, run_in_child

if TYPE_CHECKING:
    from distributed import Client

EventHandler = Callable[[dict[str, Any]], None]


class Compute:
    """A runner by name; `run` may be called from several threads."""

    def __init__(self, runner: str, scratch: Path) -> None:
        self.runner = check_runner(runner)
        self.scratch = scratch
        self._client: Client | None = None
        self._guard = threading.Lock()

    @property
    def threads(self) -> int:
        """Threads that one stage may use."""
        return max((os.cpu_count() or 1) // local_workers(), 1)

    def run(self, call: StageCall, on_event: EventHandler) -> StageOutcome:
        """Run a stage on a worker and pass on what it says; raises what `run_in_child` raises."""
        client = self.client()
        topic = f"stage-{uuid.uuid4().hex}"
        client.subscribe_topic(topic, lambda event: on_event(event[1]))
        try:
            # Every submission is a new attempt, never a result that Dask remembers.
            future = client.submit(on_worker, call, topic, key=topic, pure=False, retries=0)
            return future.result()
        finally:
            if client.status == "running":  # it is closed under us when the flow is interrupted
                client.unsubscribe_topic(topic)

    def client(self) -> "Client":
        """The client of the cluster, which is started if it is not running."""
        with self._guard:
            if self._client is None:
                self._client = RUNNERS[self.runner](self.scratch)
            return self._client

    def close(self) -> None:
        """Stop the cluster, and with it whatever still runs on it."""
        with self._guard:
            if self._client is not None:
                cluster = self._client.cluster
                self._client.close()
                if cluster is not None:
                    cluster.close()
                self._client = None


def check_runner(name: str) -> str:
    """`name`, if there is such a runner; a ConfigError lists all otherwise."""
    if name not in RUNNERS:
        raise ConfigError(f"unknown runner {name!r}; there are: {', '.join(RUNNERS)}")
    return name


@contextmanager
def open_compute(runner: str, scratch: Path) -> Iterator[Compute]:
    """A `Compute` that is closed at the end, whatever happened."""
    compute = Compute(runner, scratch)
    try:
        yield compute
    finally:
        compute.close()


def on_worker(call: StageCall, topic: str) -> StageOutcome:
    """Runs on a Dask worker: the stage in a child process, its events to the client."""
    worker = importlib.import_module("distributed").get_worker()
    return run_in_child(call, lambda event: worker.log_event(topic, event))


def local_workers() -> int:
    """Stages that run side by side on this machine: one per core and per 4 GB of memory, at most four."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return max(min(os.cpu_count() or 1, int(memory_gb // 4), 4), 1)


def _local_client(scratch: Path) -> "Client":
    from distributed import Client, LocalCluster

    scratch.mkdir(parents=True, exist_ok=True)
    cluster = LocalCluster(
        n_workers=local_workers(),
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,  # pyright: ignore[reportArgumentType]  None means no dashboard
        local_directory=str(scratch),
        memory_limit=0,  # a stage's memory is watched in its child process; the worker itself holds nothing
    )
    return Client(cluster)


# Name of a runner -> what starts its cluster, given a scratch folder.
RUNNERS: dict[str, Callable[[Path], "Client"]] = {"local": _local_client}

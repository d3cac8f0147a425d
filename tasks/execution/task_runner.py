"""What flows name at their decorator: the task runner that runs their stages.

A stage has two halves. Its supervisor is a Prefect task, which needs the API, the cache and retries: it runs in a thread beside
the flow, and its future ends in a state that the API knows, whatever becomes of a worker. Its body is a plain function, which
needs none of that: it goes to a worker of Dask, on a rung of memory that is a DaskTaskRunner in its own right.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Self, cast

from prefect import Task, unmapped
from prefect.client.schemas.objects import RunInput
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, PrefectFutureList
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import DaskTaskRunner

from config.errors import KdgatError
from config.paths import Paths, default_root
from tasks.execution.cleanup import OUTSIDE
from tasks.execution.compute import Compute, open_compute


class StageTaskRunner(DaskTaskRunner):
    """Runs the stages of one flow where the flow's parameter `runner` says, below the root."""

    def __init__(self, side_by_side: int) -> None:
        """`side_by_side` is how many stages may be submitted to workers, or wait for one, at a time."""
        super().__init__()
        self.side_by_side = side_by_side
        self._compute: Compute | None = None

    def duplicate(self) -> Self:
        """Prefect runs each flow with a duplicate. DaskTaskRunner's own would forget what it does not know of."""
        return type(self)(self.side_by_side)

    def __enter__(self) -> Self:
        """Start to take tasks; clusters start when the first stage has to run."""
        super().__enter__()
        self._guard = threading.Lock()
        self._last = self._exit_stack.enter_context(ExitStack())
        self._threads = self._exit_stack.enter_context(ThreadPoolTaskRunner(self.side_by_side))
        return self

    @property
    def compute(self) -> Compute:
        """Where the stages of the flow run. It is closed with the flow, before the threads of the supervisors end."""
        with self._guard:
            if self._compute is None:
                flow = FlowRunContext.get()
                runner = (flow.parameters or {}).get("runner", "local") if flow else "local"
                name = str(flow.flow_run.id) if flow and flow.flow_run else OUTSIDE
                self._compute = self._exit_stack.enter_context(open_compute(runner, Paths(default_root()), name))
            return self._compute

    def at_the_end(self, release: Callable[[], object]) -> None:
        """Call `release` when all stages have ended and all clusters are closed."""
        self._last.callback(release)

    @property
    def client(self) -> PrefectDaskClient:
        """There is none: DaskTaskRunner would start a cluster without certificates here."""
        raise KdgatError("a flow has several clusters, one for each rung of memory: ask for compute.rung(needs).client")

    def submit(
        self,
        task: Task[Any, Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> Any:
        """Run a task in a thread beside the flow; its future is that of Prefect's own runner of threads.

        Not a PrefectDaskFuture: that one takes any exception for an end, and leaves a task whose worker died "running".
        """
        _ = self.compute  # in the flow's own thread, and before its first stage: it cleans up after flows that were killed
        return self._threads.submit(task, parameters, wait_for, dependencies)

    def map(
        self,
        task: Task[Any, Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
    ) -> PrefectFutureList[Any]:
        """As Prefect's; but a future among the parameters goes to all calls alike, and is not waited for before the first."""
        given = {name: unmapped(value) if isinstance(value, PrefectFuture) else value for name, value in parameters.items()}
        return super().map(task, given, wait_for)


def on_workers(side_by_side: int) -> TaskRunner[PrefectFuture[Any]]:
    """The task runner of a flow, as Prefect's decorator wants it typed: so many stages at a time, on workers."""
    return cast("TaskRunner[PrefectFuture[Any]]", StageTaskRunner(side_by_side))


def current_runner() -> StageTaskRunner:
    """The runner of the flow that this code belongs to, be it the flow itself or one of its tasks."""
    flow = FlowRunContext.get()
    if flow is None or not isinstance(flow.task_runner, StageTaskRunner):
        raise KdgatError("stages run in a flow whose decorator says task_runner=on_workers(...)")
    return flow.task_runner


def current_compute() -> Compute:
    """Where the stages of this flow run."""
    return current_runner().compute

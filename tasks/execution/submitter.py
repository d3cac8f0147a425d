"""Submits stages and keeps every future that it made, so that a flow cannot forget one whose error would say what happened."""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from prefect.exceptions import UnfinishedRun
from prefect.futures import PrefectFuture

from config.schema import PipelineConfig
from kdgat_models.errors import KdgatError, StageError
from tasks.artifact import Artifact, Inputs
from tasks.execution.engine import task_of
from tasks.execution.task_runner import current_compute
from tasks.stage import Stage, submitting_to

ERRORS = "errors.log"  # in the folder of a flow run: tracebacks of what should not have happened
SHOWN, SHOWN_LETTERS = 8, 300  # of failures, and of the message of each, where there are several


class Submitted(NamedTuple):
    """A stage, and the futures that it needs."""

    name: str
    future: Any
    needs: list[Any]


class Failure(NamedTuple):
    """A stage that failed by itself."""

    name: str
    error: BaseException


class Submitter:
    """What a flow submits its stages to: while it is open, `Stage.submit` gives futures of it."""

    def __init__(self) -> None:
        self._submitted: list[Submitted] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(submitting_to(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def submit(self, stage: Stage[Any, ...], config: PipelineConfig, variant: str | None, inputs: Inputs) -> Any:
        """Have Prefect supervise a stage; returns the future, which stages that need it take as an input."""
        future = task_of(stage).submit(config, variant, inputs)
        self._submitted.append(Submitted(f"{stage.name} {variant or config.dataset}", future, list(_futures(inputs))))
        return future

    def results(self, *wanted: Any) -> list[Artifact]:
        """Results of the futures `wanted`, once all stages that were submitted so far have ended.

        A stage that fails leaves those that need it unstarted and the others running.

        Raises:
            StageError: stages failed; each is named, with its own error.
        """
        ends = [(item, _error_of(item.future)) for item in self._submitted]
        failures = [Failure(item.name, error) for item, error in ends if error and not isinstance(error, UnfinishedRun)]
        if failures:
            raise StageError(self._message(failures)) from failures[0].error
        return [future.result() for future in wanted]

    def result(self, future: Any) -> Artifact:
        """The result of one stage, once it has ended, whatever becomes of the others.

        Raises:
            StageError: it failed, or a stage that it needs did, which then is the one that is named.
        """
        failures = self._failures_of(future)
        if failures:
            raise StageError(self._message(failures)) from failures[0].error
        return future.result()

    def _failures_of(self, future: Any) -> list[Failure]:
        item = next(item for item in self._submitted if item.future is future)
        error = _error_of(future)
        if error is None:
            return []
        needed = [failure for need in item.needs for failure in self._failures_of(need)]
        return needed or [Failure(item.name, error)]

    def _message(self, failures: list[Failure]) -> str:
        if len(failures) == 1:
            return f"{failures[0].name}: {self._said(failures[0].error)}"
        lines = [f"  {failure.name}: {self._said(failure.error)}".splitlines()[0][:SHOWN_LETTERS] for failure in failures]
        more = [f"  and {len(lines) - SHOWN} more; `kdgat runs` lists them"] if len(lines) > SHOWN else []
        return "\n".join([f"{len(failures)} stages failed:", *lines[:SHOWN], *more])

    def _said(self, error: BaseException) -> str:
        """The error in words. What is no error of ours leaves its traceback in a file."""
        if isinstance(error, KdgatError):
            return str(error)
        if isinstance(error, OSError):
            return str(error) if error.filename else f"{error}, below {current_compute().folder.parents[1]}"
        said, log = f"{type(error).__name__}: {error}", current_compute().folder / ERRORS
        return f"{said} (traceback in {log})" if _written(log, error) else said


def _error_of(future: PrefectFuture[Any]) -> BaseException | None:
    """Wait for a stage to end; None: it has a result. UnfinishedRun: it never started, because one that it needs has none."""
    try:
        future.result()
    except (SystemExit, KeyboardInterrupt):  # of this thread: the flow is told to end
        raise
    except BaseException as error:  # a crash may be of any kind
        return error
    return None


def _futures(value: Any) -> Iterator[Any]:
    if isinstance(value, PrefectFuture):
        yield value
    elif isinstance(value, dict):
        yield from _futures(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _futures(item)


def _written(log: Path, error: BaseException) -> bool:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return False
    return True

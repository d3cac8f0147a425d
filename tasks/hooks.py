"""Hooks: functions that are told what happens. None of them can cost a run: what goes wrong with one is a warning.

A hook takes one record, and says by the annotation of its parameter which: `def tell(event: AfterStage) -> None`; a union of
records means each of them. It is named in the config (`hooks: [MODULE:FUNCTION]`), or by an entry point of the group
`kdgat.hooks`. Hooks are called one after the other, in the process of the flow; what they return is ignored.
"""

import importlib
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from config.plugins import load_entry, registered
from config.schema import PipelineConfig
from kdgat_models.errors import KdgatError
from tasks.artifact import Artifact

Warn = Callable[[str], None]


class BeforeStage(NamedTuple):
    """An attempt at a stage begins. A stage whose result is cached has none."""

    stage: str
    variant: str | None
    config: PipelineConfig
    folder: Path
    attempt: int


class AfterStage(NamedTuple):
    """A stage has ended well, and what it made is published."""

    stage: str
    variant: str | None
    config: PipelineConfig
    artifact: Artifact
    run_id: str
    pipeline_run: str


class StageFailed(NamedTuple):
    """An attempt at a stage has ended otherwise."""

    stage: str
    variant: str | None
    config: PipelineConfig
    folder: Path
    error: str
    tried_again: bool


class AfterEpoch(NamedTuple):
    """An epoch of a training has ended."""

    stage: str
    variant: str | None
    epoch: int
    max_epochs: int
    train: dict[str, float]
    validation: dict[str, float]
    seconds: float


class BeforePipeline(NamedTuple):
    """The training of variants begins."""

    dataset: str
    variants: tuple[str, ...]
    config: PipelineConfig
    pipeline_run: str


class AfterPipeline(NamedTuple):
    """All variants are trained and evaluated."""

    dataset: str
    variants: tuple[str, ...]
    config: PipelineConfig
    pipeline_run: str
    evaluations: tuple[Artifact, ...]


EVENTS: dict[str, type[Any]] = {
    "before_stage": BeforeStage,
    "after_stage": AfterStage,
    "stage_failed": StageFailed,
    "after_epoch": AfterEpoch,
    "before_pipeline": BeforePipeline,
    "after_pipeline": AfterPipeline,
}


class Hook(NamedTuple):
    """A function, and the records that it wants."""

    name: str
    function: Callable[[Any], Any]
    events: tuple[type[Any], ...]


class Hooks:
    """All hooks of a process, by the events that they want."""

    def __init__(self, references: Sequence[str], seconds: float) -> None:
        """`references`: MODULE:FUNCTION. `seconds`: how long each call may take."""
        self._seconds = seconds
        self._refused: list[str] = []  # not said yet
        self._left_behind: set[str] = set()
        self._by_event: dict[type[Any], list[Hook]] = {event: [] for event in EVENTS.values()}
        for name, loaded in _sources(references):
            self._add(name, loaded)

    def _add(self, name: str, loaded: Callable[[], Any]) -> None:
        try:
            function = loaded()
            hook = Hook(name, function, events_of(function))
        except (Exception, SystemExit) as error:
            self._refused.append(f"the hook {name} is not called: {type(error).__name__}: {error}")
            return
        for event in hook.events:
            self._by_event[event].append(hook)

    def tell(self, event: Any, warn: Warn) -> None:
        """Call all hooks that want this record, in order. `warn` is told what goes wrong."""
        for sentence in self._refused:
            warn(sentence)
        self._refused.clear()
        for hook in self._by_event[type(event)]:
            if hook.name not in self._left_behind:
                self._call(hook, event, warn)

    def _call(self, hook: Hook, event: Any, warn: Warn) -> None:
        failures: list[BaseException] = []

        def call() -> None:
            try:
                hook.function(event)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=call, name=f"hook {hook.name}", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if thread.is_alive():
            self._left_behind.add(hook.name)
            warn(f"the hook {hook.name} took longer than {self._seconds:g} s; it is left behind, and not called again")
        elif failures:
            warn(f"the hook {hook.name} failed: {type(failures[0]).__name__}: {failures[0]}")


def tell(event: Any, config: PipelineConfig, warn: Warn) -> None:
    """Tell all hooks that the config names, and all that are installed."""
    _hooks(config.hooks, config.pipeline.hook_seconds).tell(event, warn)


@cache
def _hooks(references: tuple[str, ...], seconds: float) -> Hooks:
    return Hooks(references, seconds)


def _sources(references: Sequence[str]) -> list[tuple[str, Callable[[], Any]]]:
    """Names of hooks, and how each is loaded: ours and those that are installed first, then those of the config."""
    known = [(entry.name, lambda entry=entry: load_entry(entry)) for entry in registered("hooks") if entry.problem is None]
    return [*known, *((reference, lambda reference=reference: _imported(reference)) for reference in references)]


def _imported(reference: str) -> Any:
    module, separator, name = reference.partition(":")
    if not separator:
        raise KdgatError("a hook is written MODULE:FUNCTION")
    return getattr(importlib.import_module(module), name)


def events_of(function: Callable[[Any], Any]) -> tuple[type[Any], ...]:
    """The records that a hook wants, by the annotation of its parameter.

    Raises:
        KdgatError: there is none, or it is no record of a hook.
    """
    hints = {name: hint for name, hint in get_type_hints(function).items() if name != "return"}
    wanted: Any = next(iter(hints.values()), None)
    events: tuple[type[Any], ...] = get_args(wanted) or (wanted,)
    if len(hints) != 1 or not set(events) <= set(EVENTS.values()):
        names = ", ".join(event.__name__ for event in EVENTS.values())
        raise KdgatError(f"a hook has one parameter, whose annotation is one or several of {names}")
    return events

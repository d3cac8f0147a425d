"""Stages and hooks as somebody else would write them, for tests of the pipeline."""

import json
import time
from pathlib import Path

from kdgat_models.errors import DatasetError
from tasks.hooks import AfterEpoch, AfterPipeline, AfterStage, BeforePipeline, BeforeStage, StageFailed

OURS = ("config.json", "inputs.json", "stage.log", "artifact.json")


class WindowCount:
    """A check: says how many windows there are."""

    needs = ("graphs",)

    def can_skip(self, context):
        return False

    def execute(self, context):
        return context.with_summary(windows=context.artifacts["graphs"].summary["windows"])


class TooFew(WindowCount):
    """A check that nothing passes."""

    def execute(self, context):
        raise DatasetError("there are too few windows")


class Relabelled(WindowCount):
    """Puts graphs of its own into the place of those that are there: the same, under another digest."""

    makes = "graphs"

    def execute(self, context):
        graphs = context.artifacts["graphs"]
        for entry in graphs.path.iterdir():
            if entry.name not in ("config.json", "inputs.json", "stage.log", "artifact.json") and not entry.name.startswith(
                "."
            ):
                (context.folder / entry.name).symlink_to(entry)
        return context.with_artifact("graphs", f"{graphs.digest}-relabelled", **graphs.summary)


class NothingToDo(Relabelled):
    """Would make graphs, and has no need to."""

    def can_skip(self, context):
        return True


class OfEachVariant(WindowCount):
    """Needs a model that every variant has."""

    needs = ("gat",)

    def execute(self, context):
        return context.with_summary(variant=context.variant, parameters=context.artifacts["gat"].summary["parameters"])


class Silent(WindowCount):
    """Makes something, and does not say so."""

    def execute(self, context):
        return context.with_artifact("graphs", "d")


class NoContext(WindowCount):
    def execute(self, context):
        return "done"


class Undecided(WindowCount):
    def can_skip(self, context):
        return None


class NoStage:
    def execute(self, context):
        return context


class Unmakeable(WindowCount):
    def __init__(self):
        raise RuntimeError("no licence")


LOG = "KDGAT_HOOK_LOG"


def _note(event) -> None:
    import os

    if os.environ.get(LOG):
        with Path(os.environ[LOG]).open("a") as log:
            log.write(json.dumps([type(event).__name__, getattr(event, "stage", None)]) + "\n")


def everything(event: BeforeStage | AfterStage | StageFailed | AfterEpoch | BeforePipeline | AfterPipeline) -> str:
    """Writes down each event."""
    _note(event)
    return "ignored"


def fails(event: AfterStage) -> None:
    raise ValueError("out of ink")


def ends_the_process(event: AfterStage) -> None:
    raise SystemExit(3)


def hangs(event: AfterStage) -> None:
    time.sleep(60)


def not_annotated(event) -> None:
    """Wants nobody knows what."""


def of_another_kind(event: int) -> None:
    """Wants numbers."""

"""Contracts of stages and hooks that a third package can check on its own, as `kdgat_models.testing` does for the library's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.schema import Everything
from kdgat_models.errors import KdgatError
from tasks.artifact import Artifact
from tasks.hooks import events_of
from tasks.pipeline_stage import PipelineStage, StageContext
from tasks.stages.insertion import run_stage


def check_stage(make: Callable[[], Any], folder: Path, artifacts: dict[str, Artifact], config: Everything) -> Artifact:
    """Run a stage once on `artifacts`, as the pipeline would, in `folder`; returns what it made.

    Raises:
        AssertionError: it breaks the contract of a stage; says how to keep it.
    """
    stage = make()
    if not isinstance(stage, PipelineStage):
        raise AssertionError(f"{make!r} is no stage: it has to have execute(context) and can_skip(context)")
    missing = [name for name in getattr(stage, "needs", ()) if name not in artifacts]
    if missing:
        raise AssertionError(f"{make!r} needs {', '.join(missing)}; give it among `artifacts`")
    folder.mkdir(parents=True, exist_ok=True)
    skips = stage.can_skip(StageContext(config, folder, None, artifacts))
    if not isinstance(skips, bool):
        raise AssertionError(f"{make!r}: can_skip returned {skips!r}; it has to return True or False")
    try:
        made = run_stage(stage, repr(make), StageContext(config, folder, None, artifacts))
    except KdgatError as error:
        raise AssertionError(str(error)) from error
    if made.path != folder:
        raise AssertionError(f"{make!r} made {made.kind} in {made.path}, not in context.folder")
    return made


def check_hook(function: Callable[[Any], Any]) -> None:
    """Look whether a function says which events it wants.

    Raises:
        AssertionError: it does not; says how to.
    """
    try:
        events_of(function)
    except KdgatError as error:
        raise AssertionError(f"{function!r}: {error}") from error

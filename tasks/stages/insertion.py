"""Whatever was made before -> what a stage that somebody wrote makes of it."""

import importlib
from pathlib import Path
from typing import Any

from config.plugins import load
from config.schema import Everything
from kdgat_models.errors import StageError
from kdgat_models.files import digest_files, digest_json
from tasks.artifact import Artifact
from tasks.pipeline_stage import PipelineStage, StageContext
from tasks.stages.events import say

OURS = ("config.json", "inputs.json", "stage.log")  # in the folder of every run


def run(config: Everything, folder: Path, reference: str, of_variant: str | None, artifacts: dict[str, Artifact]) -> Artifact:
    """Run a stage of one's own.

    Args:
        config: Of the run.
        folder: Of the artifact.
        reference: "module:Class", or the name of an installed stage.
        of_variant: The variant; None: it runs once, for all variants.
        artifacts: What was made before, by name.

    Raises:
        StageError: it returns no context, or one with artifacts that it does not say that it makes.
    """
    return run_stage(made_from(reference), reference, StageContext(config, folder, of_variant, artifacts))


def run_stage(stage: PipelineStage, reference: str, context: StageContext) -> Artifact:
    """Run a stage that is made already; raises what `run` does."""
    folder, makes = context.folder, getattr(stage, "makes", None)
    if stage.can_skip(context):
        say(f"{reference} says that there is nothing to do")
        return _passed_on(context, reference, makes)
    result = stage.execute(context)
    if not isinstance(result, StageContext):
        raise StageError(f"{reference} returned a {type(result).__name__}; execute(context) has to return the context")
    changed = {name for name, artifact in result.artifacts.items() if context.artifacts.get(name) != artifact}
    if changed - {makes}:
        names = ", ".join(sorted(changed - {makes}))
        raise StageError(f'{reference} made {names}, and does not say so; write `makes = "{names}"` into its class')
    if makes is not None and makes in changed:
        artifact = result.artifacts[makes]
        if artifact.path != folder:
            raise StageError(f"{reference} made {makes} in {artifact.path}; it has to write to context.folder, {folder}")
        return artifact.model_copy(update={"summary": {**artifact.summary, **result.summary}})
    return _passed_on(result, reference, makes)


def made_from(reference: str) -> PipelineStage:
    """The stage that a reference names.

    Raises:
        ImportError, AttributeError: there is no such module, or nothing of that name in it.
        StageError: it is no stage.
    """
    module, separator, name = reference.partition(":")
    made: Any = (getattr(importlib.import_module(module), name) if separator else load("stages", reference))()
    if not isinstance(made, PipelineStage):
        raise StageError(f"{reference} is no stage: it has to have execute(context) and can_skip(context)")
    return made


def _passed_on(context: StageContext, reference: str, makes: str | None) -> Artifact:
    """What a check leaves: its figures and files. Of a stage that would have made something, what is there instead."""
    files = sorted(file for file in context.folder.rglob("*") if file.is_file() and file.name not in OURS)
    written = [[str(file.relative_to(context.folder)), digest_files([file])] for file in files]
    stands_for = context.artifacts.get(makes) if makes else None
    digest = stands_for.digest if stands_for else digest_json([reference, dict(context.summary), written])
    summary = dict(context.summary)
    return Artifact(kind=makes or "check", path=context.folder, digest=digest, summary=summary, stands_for=stands_for)

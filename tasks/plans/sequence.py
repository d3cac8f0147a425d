"""The pipeline as the config declares it: which stages run, in which order, and whether each finds what it needs."""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

from config.errors import ConfigError
from config.sections import PipelineSequence
from kdgat_models.errors import KdgatError
from tasks.artifact import Artifact
from tasks.stage import Stage
from tasks.stages import insertion
from tasks.stages.table import STAGES

SHARED = ("ingest", "graphs")  # stages that run once, for all variants
GIVEN = "raw"  # what is there before the first stage


class Step(NamedTuple):
    """One stage of the pipeline."""

    name: str
    stage: Stage[Any, ...]
    shared: bool  # it runs once, for all variants
    needs: tuple[str, ...]  # artifacts that it cannot run without
    makes: str | None  # name of its artifact; None: it is a check
    reference: str | None = None  # of a stage that was inserted: where it comes from


class Steps(NamedTuple):
    """All stages of a pipeline in order."""

    shared: tuple[Step, ...]  # that run once
    of_variant: tuple[Step, ...]  # that run for each variant

    def __contains__(self, name: object) -> bool:
        return any(step.name == name for step in (*self.shared, *self.of_variant))


def steps_of(sequence: PipelineSequence) -> Steps:
    """The stages in the order in which they run.

    Raises:
        ConfigError: a stage is unknown, named twice, skipped or inserted where there is none, is no stage, cannot be imported,
            or stands before one that makes what it needs.
    """
    steps = [_own(name) for name in _each_once("pipeline.stages", sequence.stages)]
    for text in sequence.insert:
        steps = _with_inserted(steps, text)
    for name in _each_once("pipeline.skip", sequence.skip):
        if name not in [step.name for step in steps]:
            raise ConfigError(f"pipeline.skip={name}: the pipeline has no such stage; it has: {_names(steps)}")
    left = [step for step in steps if step.name not in sequence.skip]
    _check_inputs(left, steps)
    return Steps(tuple(step for step in left if step.shared), tuple(step for step in left if not step.shared))


def _own(name: str) -> Step:
    stage = STAGES[name]
    parameters = list(inspect.signature(stage.body).parameters.values())[2:]
    needs = tuple(parameter.name for parameter in parameters if parameter.annotation is Artifact)
    return Step(name, stage, name in SHARED, needs, stage.makes)


def _with_inserted(steps: list[Step], text: str) -> list[Step]:
    where, _, rest = text.partition(":")
    anchor, _, reference = rest.partition(":")
    if where not in ("after", "before") or not reference:
        raise ConfigError(
            f"pipeline.insert={text}: write after:STAGE:MODULE:CLASS or before:STAGE:MODULE:CLASS, such as "
            "after:graphs:my_package.checks:ClassBalance; the name of an installed stage may stand for MODULE:CLASS"
        )
    names = [step.name for step in steps]
    if anchor not in names:
        raise ConfigError(f"pipeline.insert={text}: the pipeline has no stage {anchor!r}; it has: {_names(steps)}")
    position = names.index(anchor)
    step = _inserted(reference, steps[position].shared)
    if step.name in names:
        raise ConfigError(f"pipeline.insert={text}: the pipeline has a stage {step.name} already")
    return [*steps[: position + (where == "after")], step, *steps[position + (where == "after") :]]


def _inserted(reference: str, shared: bool) -> Step:
    if reference in STAGES:
        raise ConfigError(
            f"pipeline.insert: {reference} is a stage of the pipeline itself; pipeline.stages says which run, and when"
        )
    try:
        own = insertion.made_from(reference)
    except KdgatError as error:
        raise ConfigError(f"pipeline.insert: {error}") from error
    except Exception as error:  # what a module of somebody else's raises may be anything
        raise ConfigError(f"pipeline.insert: {reference} cannot be made: {type(error).__name__}: {error}") from error
    name, makes = type(own).__name__, getattr(own, "makes", None)
    stage = Stage(
        name,
        insertion.run,
        makes=makes or "check",
        title=f"{name} {{variant}}" if not shared else name,
        folder=name,
        shared=shared,
        code=(type(own).__module__,),
    )
    return Step(name, stage, shared, tuple(getattr(own, "needs", ())), makes, reference)


def _check_inputs(steps: Sequence[Step], declared: Sequence[Step]) -> None:
    """Raise a ConfigError if a stage misses an input."""
    there = {GIVEN}
    ordered = [*(step for step in steps if step.shared), *(step for step in steps if not step.shared)]
    if [*steps] != ordered:
        late = next(step.name for step, fitting in zip(steps, ordered, strict=True) if step != fitting)
        raise ConfigError(
            f"pipeline.stages: {late} stands before a stage that runs once for all variants; {', '.join(SHARED)} and what is "
            "inserted beside them come first"
        )
    for step in steps:
        for need in step.needs:
            if need not in there:
                raise ConfigError(f"pipeline.stages: {step.name} misses its input {need}: {_why(need, step, steps, declared)}")
        there |= {step.makes} if step.makes else set()
    evaluated = [step for step in steps if step.name == "evaluation"]
    if evaluated and not there & {"vgae", "gat"}:
        raise ConfigError("pipeline.stages: evaluation misses a model to evaluate: vgae and gat are skipped; skip it, too")


def _why(need: str, step: Step, steps: Sequence[Step], declared: Sequence[Step]) -> str:
    maker = next((other for other in declared if other.makes == need), None)
    if maker is None:
        made = ", ".join(dict.fromkeys(other.makes for other in declared if other.makes))
        return f"no stage makes it. What stages make: {made}"
    if maker not in steps:
        return f"{maker.name}, which makes it, is skipped. Skip {step.name}, too"
    return f"{maker.name}, which makes it, stands behind it. Write {maker.name} before {step.name}"


def _each_once(setting: str, names: Sequence[str]) -> Sequence[str]:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{setting} names {', '.join(twice)} twice")
    return names


def _names(steps: Sequence[Step]) -> str:
    return ", ".join(step.name for step in steps)


class Made(NamedTuple):
    """What stands for the artifacts that a pipeline has made so far, by name; and the inserted stages among what made them."""

    artifacts: dict[str, Artifact]
    inserted: dict[str, Artifact]  # by the name of the stage

    def __getitem__(self, name: Any) -> Any:
        return self.artifacts[name]

    def get(self, name: str) -> Artifact | None:
        """What stands for an artifact, if it was made."""
        return self.artifacts.get(name)

    def and_then(self, step: Step, artifact: Artifact | None) -> "Made":
        """With what a step has made."""
        made = {step.makes: artifact} if step.makes and artifact is not None else {}
        inserted = {step.name: artifact} if step.reference and artifact is not None else {}
        return Made({**self.artifacts, **made}, {**self.inserted, **inserted})

"""A bundle: one file with all that a verdict needs. Models with config, schema, vocabulary and decision, and a data sheet."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from config.sections import ModelType
from kdgat_models.archive import Kind, as_json, read_archive, write_archive
from kdgat_models.checkpoint import META, TENSORS, Checkpoint, load_checkpoint, save_checkpoint
from kdgat_models.errors import ArchiveError
from kdgat_models.files import wrong_fields

BUNDLE = Kind("bundle", 1, "Make one from a trained model: kdgat bundle")
SUFFIX = ".kdgat"
ABOUT = "bundle.json"
STUDENT = f"student{SUFFIX}"  # in the run folder of an evaluation


class AboutBundle(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]  # for people
    made: AwareDatetime
    rule: str  # of decision: which threshold counts
    models: Annotated[tuple[ModelType, ...], Field(min_length=1)]
    data_sheet: dict[str, JsonValue] = {}  # what it was trained on and measured with, for people


class Bundle(NamedTuple):
    """A detector on disk."""

    about: AboutBundle
    checkpoints: dict[str, Checkpoint]  # by model type


def save_bundle(target: Path, about: AboutBundle, checkpoints: Mapping[str, Checkpoint]) -> Path:
    """Write a bundle, atomically; the same models make the same file."""
    members = {ABOUT: as_json(about.model_dump(mode="json"))}
    with TemporaryDirectory() as scratch:
        for name in about.models:
            save_checkpoint(Path(scratch) / name, checkpoints[name])
            for file in (META, TENSORS):
                members[f"{name}/{file}"] = (Path(scratch) / name / file).read_bytes()
    return write_archive(target, BUNDLE, members)


def load_bundle(source: Path) -> Bundle:
    """Read a bundle.

    Raises:
        ArchiveError: it is missing, torn, altered, newer or no bundle.
        CheckpointError: a model in it is not whole, or of a format that is not known.
    """
    members = read_archive(source, BUNDLE)
    if ABOUT not in members:
        raise ArchiveError(f"{source} was altered: it has no {ABOUT}")
    try:
        about = AboutBundle.model_validate_json(members[ABOUT])
    except ValidationError as error:
        raise ArchiveError(f"{source} was altered: {ABOUT}: {wrong_fields(error)}") from error
    expected = {ABOUT, *(f"{name}/{file}" for name in about.models for file in (META, TENSORS))}
    if set(members) != expected:
        raise ArchiveError(
            f"{source} was altered: it holds {', '.join(sorted(members))}; expected {', '.join(sorted(expected))}"
        )
    with TemporaryDirectory() as scratch:
        for name in sorted(expected - {ABOUT}):
            file = Path(scratch) / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(members[name])
        return Bundle(about, {name: load_checkpoint(Path(scratch) / name, name) for name in about.models})


def bundle_of(
    checkpoints: Mapping[str, Checkpoint],
    target: Path,
    rule: str | None = None,
    measured: Mapping[str, JsonValue] | None = None,
) -> AboutBundle:
    """Write a bundle of trained models, with a data sheet of what they say of their training.

    Args:
        checkpoints: By model type; the last is the one that decides.
        target: The file.
        rule: Decision rule that counts; None: that of the training.
        measured: What they were measured with, for the data sheet.

    Raises:
        CheckpointError: a model has no threshold of the rule.
    """
    decider = list(checkpoints.values())[-1].config
    chosen = rule or decider.decision.rule
    for checkpoint in checkpoints.values():
        checkpoint.decision.threshold(chosen)
    about = AboutBundle(
        name=f"{decider.dataset} {decider.model_type} {decider.scale}",
        made=datetime.now(UTC),
        rule=chosen,
        models=cast("tuple[ModelType, ...]", tuple(checkpoints)),
        data_sheet={**_sheet_of(checkpoints), **(measured or {})},
    )
    save_bundle(target, about, checkpoints)
    return about


def student_bundle(folder: Path, classifier: Checkpoint) -> Path | None:
    """Write the bundle of a student into the folder of its evaluation; None: the model is large."""
    if classifier.config.scale == "large":
        return None
    bundle_of({"gat": classifier}, folder / STUDENT)
    return folder / STUDENT


def file_name(about: AboutBundle) -> str:
    """A name of a file for a bundle."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", about.name) + SUFFIX


def _sheet_of(checkpoints: Mapping[str, Checkpoint]) -> dict[str, JsonValue]:
    """What the checkpoints say of their training."""
    config = next(iter(checkpoints.values())).config
    models: dict[str, JsonValue] = {}
    for name, checkpoint in checkpoints.items():
        of_training = checkpoint.provenance.model_dump(mode="json", exclude_unset=True)
        numbers = sum(tensor.numel() for tensor in checkpoint.tensors.values())
        models[name] = {"numbers": numbers, "seed": checkpoint.config.seed, **of_training}
    return {"trained_on": config.dataset, "window_size": config.preprocessing.window_size, "models": models}

"""What tasks pass to each other: a path and a digest, never tensors or models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from config.paths import COMPLETE
from kdgat_models.errors import CheckpointError
from kdgat_models.files import read_record, write_json
from tasks.seals import damages, seal


class Artifact(BaseModel):
    """Something that a stage made. `digest` covers the content: an equal result, made again, has an equal digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str  # what its stage says that it makes, or raw
    path: Path
    digest: str
    summary: dict[str, Any] = {}  # small figures for tables and logs
    stands_for: "Artifact | None" = None  # one that is used in the place of this one, which had nothing to do

    def publish(self) -> None:
        """Mark the artifact's folder as whole, and seal its files."""
        write_json(self.path / COMPLETE, self.model_dump(mode="json"))
        seal(self.path)

    @property
    def exists(self) -> bool:
        """Whether it was published here and is still in its folder."""
        return (self.path / COMPLETE).is_file()


# What a stage is given beside its config, by the names of its parameters.
Input: TypeAlias = "Artifact | str | Path | Sequence[Input] | Mapping[str, Input] | None"
Inputs: TypeAlias = dict[str, Input]


def read_artifact(folder: Path, kind: str) -> Artifact:
    """The artifact in `folder`, which must be of `kind`, and what was published."""
    artifact = published(folder)
    if artifact.kind != kind:
        raise CheckpointError(f"{folder} holds a {artifact.kind}, not a {kind}")
    found = damages(folder)
    if found:
        raise CheckpointError(f"{folder} is damaged: {'; '.join(map(str, found))}. Run again what made it, or name another")
    return artifact.model_copy(update={"path": folder.resolve()})


def published(folder: Path) -> Artifact:
    """What was published in `folder`, of whatever kind; its files are not looked at."""
    try:
        return read_record(folder / COMPLETE, Artifact)
    except CheckpointError as error:
        raise CheckpointError(f"{folder} is not a finished run folder ({error}); expected {COMPLETE} in it") from error

"""A fold of a protocol on disk: a store of many captures elsewhere, and which of them are learnt from."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kdgat_models.files import read_record

FOLD = "fold.json"


class FoldRecord(BaseModel):
    """`fold.json`: a fold of a protocol (kdgat_models.evaluation.protocols) over a store of many captures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: str
    version: int
    store: Path
    name: str
    train: tuple[str, ...]  # names of captures in the store, with their copies
    test: tuple[str, ...]
    left_out: dict[str, str]  # captures that are neither, with the reason


def read_fold(folder: Path) -> FoldRecord:
    """The fold in `folder`; raises a CheckpointError if there is none or it does not fit its schema."""
    return read_record(folder / FOLD, FoldRecord)

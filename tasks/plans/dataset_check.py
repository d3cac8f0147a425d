"""What is found of a dataset on disk and how it is understood, before anything is run."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from config.catalog import (
    CAPTURE_SUFFIXES,
    DatasetEntry,
    dataset_entry,
    dataset_folder,
    files_of_split,
    is_capture,
    origin,
    stated_vehicle,
)
from config.errors import ConfigError
from config.paths import Paths
from kdgat_models.can.ingest import capture_name, require_one_channel
from kdgat_models.can.naming import attack_type
from kdgat_models.can.recording import open_recording
from kdgat_models.can.source import HEAD_BYTES
from kdgat_models.errors import CaptureError


class SeenFrame(NamedTuple):
    """A frame as it is shown."""

    timestamp: float  # seconds
    arbitration_id: str  # hexadecimal
    dlc: int
    payload: str  # hexadecimal
    label: int  # 1: attack


class SeenCapture(NamedTuple):
    """One file of a split, as far as its beginning says."""

    split: str
    role: str
    file: str
    megabytes: float
    reader: str | None  # None: see problem
    vehicle: str | None  # as the catalogue states it; None: it is told by the IDs
    attack: str  # as the file's name announces it
    rows: tuple[SeenFrame, ...]  # the first frames
    problem: str | None  # why it cannot be ingested, as far as its beginning says


class SeenDataset(NamedTuple):
    """What `look_at` found."""

    name: str
    catalogue: str  # where its entry comes from
    folder: Path
    absent_splits: tuple[str, ...]  # in the catalogue, not on disk
    unknown_folders: tuple[str, ...]  # on disk, not in the catalogue: they are ignored
    captures: tuple[SeenCapture, ...]
    problems: tuple[str, ...]  # of the dataset as a whole

    @property
    def usable(self) -> bool:
        """Whether nothing was seen that would stop a run."""
        return not self.problems and all(capture.problem is None for capture in self.captures)


def look_at(dataset: str, data_dir: Path | None, paths: Paths, rows: int = 3) -> SeenDataset:
    """Look at every file of a dataset and read the first `rows` frames of each.

    Raises:
        ConfigError: the dataset is not in the catalogue, or no folder of it is there.
    """
    entry, folder = dataset_entry(dataset), dataset_folder(dataset, data_dir, paths)
    if entry.simulated and not folder.is_dir():
        raise ConfigError(f"{dataset} is simulated by the first run; there is nothing to look at in {folder} yet")
    captures = [_seen(dataset, entry, split, file, rows) for split in entry.splits for file in files_of_split(folder / split)]
    present = {capture.split for capture in captures}
    folders = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    problems = [] if any(capture.role == "train" for capture in captures) else ["no training capture"]
    return SeenDataset(
        dataset,
        origin(dataset),
        folder,
        tuple(split for split in entry.splits if split not in present),
        tuple(sorted(folders - set(entry.splits))),
        tuple(captures),
        tuple(problems),
    )


def _seen(dataset: str, entry: DatasetEntry, split: str, file: Path, rows: int) -> SeenCapture:
    reader, frames, problem, name = None, [], None, file.name
    try:
        if not is_capture(file):
            raise CaptureError(f"{file} is not a capture: a split folder holds only {', '.join(CAPTURE_SUFFIXES)} files")
        name = capture_name(file)
        with open_recording(file, entry.readers, on_bad_rows="quarantine", block_bytes=HEAD_BYTES) as recording:
            reader = recording.format
            parts = list(recording.sifted(most=1))
        seen = [table for part in parts for table in part.frames.values()]
        frames = [_shown(*row) for row in pl.concat(seen).head(rows).select(SeenFrame._fields).iter_rows()] if seen else []
        bad = recording.counts.first_rejected
        if bad is not None:
            problem = f"{recording.unit} {bad.line}: {bad.reason}; --on-bad-rows quarantine sets such rows aside"
        require_one_channel(recording)
    except CaptureError as error:
        problem = str(error)
    return SeenCapture(
        split,
        entry.splits[split].role,
        file.name,
        round(file.stat().st_size / 2**20, 3),
        reader,
        stated_vehicle(dataset, split, name),
        attack_type(name),
        tuple(frames),
        problem,
    )


def _shown(timestamp: float, arbitration_id: int, dlc: int, payload: bytes, label: int) -> SeenFrame:
    return SeenFrame(timestamp, f"{arbitration_id:03X}", dlc, payload.hex(), label)

"""What is found of a dataset on disk and how it is understood, before anything is run."""

from itertools import islice
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
from kdgat_models.can.ingest import FIRST_BYTES, begin, capture_name
from kdgat_models.can.lines import read_lines
from kdgat_models.can.naming import attack_type
from kdgat_models.can.sieve import Sieve, with_reasons
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
        found, lines = begin(file, read_lines(file, FIRST_BYTES), entry.readers)
        reader = found.name
        parts = list(Sieve(found).parts(islice(lines, 1)))
        first = pl.concat([part.frames for part in parts]).head(rows).select(SeenFrame._fields)
        frames = [_shown(*row) for row in first.iter_rows()]
        wrong = pl.concat([part.bad for part in parts])
        if len(wrong):
            bad = with_reasons(found, wrong.head(1)).row(0, named=True)
            problem = f"line {bad['line']}: {bad['reason']}; --on-bad-rows quarantine sets such rows aside"
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

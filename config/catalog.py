"""The catalogue of datasets (`datasets.yaml`) and where their captures lie on disk."""

import difflib
from collections.abc import Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import Field

from config.errors import ConfigError
from config.paths import Paths
from config.schema import Modality, Section

CAPTURE_SUFFIXES = (".csv", ".txt", ".csv.gz", ".txt.gz", ".csv.zst", ".txt.zst")


class SplitEntry(Section):
    """A folder of captures: `train` splits are learnt from, `test` splits are only evaluated."""

    role: Literal["train", "test"]


class DatasetEntry(Section):
    """One dataset as it is published; what of it is on disk is found by `find_captures`."""

    domain: Modality
    source: str
    licence: str
    readers: tuple[str, ...]
    splits: dict[str, SplitEntry]
    simulated: bool = False
    vehicles: Mapping[str, str] = Field(default={})  # vehicle by pattern of SPLIT/CAPTURE; others are told by their IDs
    resources: Mapping[str, float] = Field(default={})  # fields of ResourcesConfig that this dataset needs otherwise


def stated_vehicle(dataset: str, split: str, capture: str) -> str | None:
    """Vehicle of a capture as the catalogue has it, or None."""
    patterns = dataset_entry(dataset).vehicles
    return next((name for pattern, name in patterns.items() if fnmatch(f"{split}/{capture}", pattern)), None)


class FoundCaptures(NamedTuple):
    """Captures by split, in file-name order, and the catalogued splits that are absent on disk."""

    folder: Path
    captures: dict[str, list[Path]]
    absent: list[str]


@cache
def catalog() -> dict[str, DatasetEntry]:
    """All datasets by name."""
    text = (Path(__file__).parent / "datasets.yaml").read_text()
    return {name: DatasetEntry.model_validate(entry) for name, entry in yaml.safe_load(text)["datasets"].items()}


def dataset_entry(name: str) -> DatasetEntry:
    """The catalogue entry of `name`; a ConfigError names the nearest one otherwise."""
    if name not in catalog():
        nearest = difflib.get_close_matches(name, catalog())
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(f"unknown dataset {name!r}; `kdgat datasets` lists: {', '.join(catalog())}.{hint}")
    return catalog()[name]


def dataset_folder(name: str, data_dir: Path | None, paths: Paths) -> Path:
    """Folder that holds the splits of `name`: DIR/name, or DIR itself if it has the splits.

    Raises:
        ConfigError: no folder was given, or none of the dataset's splits is in it.
    """
    entry = dataset_entry(name)
    if entry.simulated and data_dir is None:
        return paths.raw(name)
    if data_dir is None:
        raise ConfigError(
            f"dataset {name} is recorded traffic: say where it lies with --data-dir DIR (DIR/{name}/<split>/*.csv)"
        )
    for folder in (data_dir / name, data_dir):
        if any((folder / split).is_dir() for split in entry.splits):
            return folder.resolve()
    raise ConfigError(
        f"no split of {name} in {data_dir / name} nor in {data_dir}; expected folders such as "
        f"{data_dir / name / next(iter(entry.splits))} with .csv files"
    )


def find_captures(name: str, folder: Path) -> FoundCaptures:
    """List the captures of each catalogued split below `folder`.

    Raises:
        ConfigError: a split folder has a file that no reader is made for, or no training capture exists.
    """
    entry = dataset_entry(name)
    captures: dict[str, list[Path]] = {}
    for split in entry.splits:
        files = sorted(path for path in (folder / split).glob("*") if path.is_file() and not path.name.startswith("."))
        foreign = [path for path in files if not path.name.lower().endswith(CAPTURE_SUFFIXES)]
        if foreign:
            raise ConfigError(f"{foreign[0]} is not a capture: a split folder holds only {', '.join(CAPTURE_SUFFIXES)} files")
        if files:
            captures[split] = files
    if not any(entry.splits[split].role == "train" for split in captures):
        raise ConfigError(f"{folder} has no training capture; expected files in {folder}/train_01_attack_free/")
    return FoundCaptures(folder, captures, [split for split in entry.splits if split not in captures])

"""The catalogue of datasets, ours, those of the user and of installed packages, and where their captures lie on disk."""

import difflib
import os
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.choices import Reader
from config.errors import ConfigError, PluginError
from config.paths import FOLDER_NAME, TOOLS, Paths, default_root
from config.plugins import BUILT_IN as OURS
from config.plugins import Registered, load_entry, names, registered
from config.sections import Modality, Section

BUILT_IN = Path(__file__).parent / "datasets.yaml"
OWN = "datasets.yaml"  # of a root: datasets of its user's
NAMED = "KDGAT_CATALOG"  # names a file of more datasets, as --catalog does
PACKED = ("", ".gz", ".zst")
CAPTURE_SUFFIXES = tuple(
    f"{suffix}{packed}" for packed in PACKED for suffix in (".csv", ".txt", ".log", ".asc", ".trc", ".blf", ".mf4")
)


class SplitEntry(Section):
    """A folder of captures: `train` splits are learnt from, `test` splits are only evaluated."""

    role: Literal["train", "test"]


class DatasetEntry(Section):
    """One dataset as it is published; what of it is on disk is found by `find_captures`."""

    domain: Modality
    source: str
    licence: str
    readers: tuple[Reader, ...]
    splits: dict[Annotated[str, Field(pattern=FOLDER_NAME)], SplitEntry]
    simulated: bool = False
    vehicles: Mapping[str, str] = Field(default={})  # vehicle by pattern of SPLIT/CAPTURE; others are told by their IDs
    resources: Mapping[str, float | Mapping[str, float]] = Field(default={})  # of ResourcesConfig: what it needs otherwise

    @model_validator(mode="after")
    def _has_what_is_needed(self) -> Self:
        if not self.readers:
            raise ValueError("readers is empty; name the formats that its captures may have")
        if not any(split.role == "train" for split in self.splits.values()):
            raise ValueError("no split has the role train; there is nothing to learn from")
        return self


class CatalogFile(BaseModel):
    """What a catalogue file holds. Beside the datasets, there may be anchors under names of any kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    datasets: dict[Annotated[str, Field(pattern=FOLDER_NAME)], DatasetEntry]

    @model_validator(mode="after")
    def _folders_are_free(self) -> Self:
        taken = [name for name in self.datasets if name in (*TOOLS, *names("protocols"))]
        if taken:
            raise ValueError(f"a folder of the root is called {taken[0]} already: choose another name for the dataset")
        return self


def stated_vehicle(dataset: str, split: str, capture: str) -> str | None:
    """Vehicle of a capture as the catalogue has it, or None."""
    patterns = dataset_entry(dataset).vehicles
    return next((name for pattern, name in patterns.items() if fnmatch(f"{split}/{capture}", pattern)), None)


class FoundCaptures(NamedTuple):
    """Captures by split, in file-name order, and the catalogued splits that are absent on disk."""

    folder: Path
    captures: dict[str, list[Path]]
    absent: list[str]


class Catalog(NamedTuple):
    """All datasets by name, and where each of them comes from: built in, a file, or a package and its version."""

    entries: dict[str, DatasetEntry]
    origins: dict[str, str]


def catalog() -> dict[str, DatasetEntry]:
    """All datasets by name: ours, those of `datasets.yaml` in the root, of the file that KDGAT_CATALOG names, of packages.

    A package can take no name that is taken already, nor break what does not use it: `kdgat plugins` says what is left out.

    Raises:
        ConfigError: a file is not there or no catalogue, or names a dataset that another file has.
    """
    return _catalog().entries


def origin(name: str) -> str:
    """Where the dataset `name` comes from: built in, a file, or a package and its version."""
    dataset_entry(name)
    return _catalog().origins[name]


def _catalog() -> Catalog:
    packages = tuple(entry for entry in registered("datasets") if entry.problem is None)
    return _read(tuple((file, _changed(file)) for file in catalog_files()), packages)


def catalog_files() -> list[Path]:
    """The files that make the catalogue."""
    own, named = default_root() / OWN, os.environ.get(NAMED)
    files = [BUILT_IN, *([own] if own.is_file() else []), *([Path(named).expanduser().resolve()] if named else [])]
    return list(dict.fromkeys(files))  # somebody may name the file of the root


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"the catalogue {file} cannot be read: {error.strerror}; see --catalog and {NAMED}") from error


@cache
def _read(files: tuple[tuple[Path, int], ...], packages: tuple[Registered, ...]) -> Catalog:
    found = Catalog({}, {})
    for file, _ in files:
        for name, entry in _entries(file).items():
            if name in found.entries:
                before = BUILT_IN if found.origins[name] == OURS else found.origins[name]
                raise ConfigError(f"the dataset {name} is in {before} and in {file}; give one another name")
            found.entries[name], found.origins[name] = entry, OURS if file == BUILT_IN else str(file)
    for package in packages:
        with suppress(ConfigError, PluginError):
            for name, entry in added_datasets(load_entry(package), package.provider).items():
                if name not in found.entries:
                    found.entries[name], found.origins[name] = entry, package.provider
    return found


def left_out(package: Registered) -> str | None:
    """Why datasets of a package are not in the catalogue; None if all are."""
    try:
        added = added_datasets(load_entry(package), package.provider)
    except (ConfigError, PluginError) as error:
        return str(error)
    taken = [f"{name} ({origin(name)})" for name in added if origin(name) != package.provider]
    return f"there are datasets of these names already: {', '.join(taken)}" if taken else None


def added_datasets(added: object, whose: str) -> dict[str, DatasetEntry]:
    """Datasets that a package adds: what an entry point of `kdgat.datasets` refers to, validated.

    Args:
        added: A mapping from names to entries as in `datasets.yaml`, or the path of such a file.
        whose: The package, for the message of an error.

    Raises:
        ConfigError: it is no catalogue; names each wrong field.
    """
    if isinstance(added, str | Path):
        return _entries(Path(added))
    if not isinstance(added, Mapping):
        raise ConfigError(f"datasets of {whose} are a {type(added).__name__}; expected a mapping, or the path of a YAML file")
    return _validated({"datasets": dict(added)}, whose)


def _entries(file: Path) -> dict[str, DatasetEntry]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} is not a readable catalogue: {error}") from error
    return _validated(content, str(file))


def _validated(content: object, where: str) -> dict[str, DatasetEntry]:
    try:
        return CatalogFile.model_validate(content).datasets
    except ValidationError as error:
        wrong = "\n".join(f"  {'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{where} is not a catalogue as docs/datasets.md describes it:\n{wrong}") from error


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


def is_capture(file: Path) -> bool:
    """Whether its name is that of a capture."""
    return file.name.lower().endswith(CAPTURE_SUFFIXES)


def files_of_split(folder: Path) -> list[Path]:
    """All files that lie in the folder of a split, hidden ones aside, in the order of their names.

    Raises:
        ConfigError: a capture would be passed over: it is a link to nothing, or lies in a folder within.
    """
    files = []
    for path in sorted(path for path in folder.glob("*") if not path.name.startswith(".")):
        if path.is_file():
            files.append(path)
        elif path.is_symlink() and not path.exists():
            raise ConfigError(f"{path} is a link to {path.readlink()}, which is not there; mend or remove it")
        elif path.is_dir() and any(is_capture(inner) for inner in path.rglob("*")):
            raise ConfigError(f"{path} is a folder with captures in it, which would be passed over; move them to {folder}")
    return files


def find_captures(name: str, folder: Path) -> FoundCaptures:
    """List the captures of each catalogued split below `folder`.

    Raises:
        ConfigError: a split folder has a file that no reader is made for, or a capture that would be passed over, or no
            training capture exists.
    """
    entry = dataset_entry(name)
    captures: dict[str, list[Path]] = {}
    for split in entry.splits:
        files = files_of_split(folder / split)
        foreign = [path for path in files if not is_capture(path)]
        if foreign:
            raise ConfigError(f"{foreign[0]} is not a capture: a split folder holds only {', '.join(CAPTURE_SUFFIXES)} files")
        if files:
            captures[split] = files
    if not any(entry.splits[split].role == "train" for split in captures):
        raise ConfigError(f"{folder} has no training capture; expected files in {folder}/train_01_attack_free/")
    return FoundCaptures(folder, captures, [split for split in entry.splits if split not in captures])

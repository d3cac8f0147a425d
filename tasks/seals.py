"""What the files of an artifact were when it was published, and whether they still are that.

The seal lies beside them. A quick look compares sizes and times, all of what is small or has to be exact (JSON, tensors), and
blocks of the rest; one whose time changed is compared whole, so that a folder may be copied. A full look compares everything.
"""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from config.paths import COMPLETE, DAMAGED
from kdgat_models.errors import CheckpointError
from kdgat_models.files import digest_json, read_record, write_json

SEAL = "seal.json"  # beside what it seals
UNSEALED = (".log", ".out", ".err")  # of batch systems and of the stage itself: they may still grow
SMALL_BYTES = 2**20  # bytes; up to that a file is always compared whole
COMPARED_WHOLE = (".json", ".safetensors")  # whatever their size
BLOCK, BLOCKS = 4096, 64  # bytes of a block, and how many of a larger file are compared


class FileSeal(BaseModel):
    """One file as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    mtime_ns: int
    digest: str
    sample: str  # digest of blocks whose places follow from the size


class Seal(BaseModel):
    """All files of a folder, by their path in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, FileSeal]
    digest: str  # of the above


class Damage(NamedTuple):
    """A file that is not what it was."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file} {self.what}"


def seal(folder: Path) -> None:
    """Write down what the files of `folder` are now."""
    _write(folder, {str(path.relative_to(folder)): _sealed(path) for path in _files(folder)})


def is_sealed(folder: Path) -> bool:
    """Whether the folder has a seal; those of older versions have none."""
    return (folder / SEAL).exists()


def damages(folder: Path, full: bool = False) -> list[Damage]:
    """What is wrong with the artifact in `folder`; nothing is written. An unsealed one, of an older version, is not judged."""
    if (folder / DAMAGED).exists():
        return [Damage(DAMAGED, "says that it was found damaged before, or stood on what was")]
    if not (folder / COMPLETE).is_file():
        return [Damage(COMPLETE, "is missing")]
    if not is_sealed(folder):
        return []
    try:
        known = _read(folder)
    except CheckpointError as error:
        return [Damage(SEAL, f"is no longer what was published ({error})")]
    return [Damage(name, what) for name, was in known.files.items() if (what := _damage(folder / name, was, full))]


def renew(folder: Path) -> None:
    """Keep the times of files that were just found whole, so that they need not be compared whole again."""
    known = _read(folder)
    files = {name: was.model_copy(update={"mtime_ns": (folder / name).stat().st_mtime_ns}) for name, was in known.files.items()}
    if files != known.files:
        _write(folder, files)


def _damage(path: Path, was: FileSeal, full: bool) -> str:
    """What is wrong with a file, or nothing."""
    try:
        stat = path.stat()
        if stat.st_size != was.size:
            return f"has {stat.st_size} bytes, had {was.size}"
        whole = full or was.size <= SMALL_BYTES or path.suffix in COMPARED_WHOLE or stat.st_mtime_ns != was.mtime_ns
        same = _digest(path) == was.digest if whole else _sample(path, was.size) == was.sample
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if same else "is no longer what was published"


def _read(folder: Path) -> Seal:
    found = read_record(folder / SEAL, Seal)
    if found.digest != digest_json({name: file.model_dump() for name, file in found.files.items()}):
        raise CheckpointError(f"{folder / SEAL} was changed")
    return found


def _write(folder: Path, files: dict[str, FileSeal]) -> None:
    content = {name: file.model_dump() for name, file in files.items()}
    write_json(folder / SEAL, {"files": content, "digest": digest_json(content)})


def _files(folder: Path) -> Iterator[Path]:
    """The files that a seal covers, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.name != SEAL and path.suffix not in UNSEALED:
            yield path


def _sealed(path: Path) -> FileSeal:
    stat = path.stat()
    return FileSeal(size=stat.st_size, mtime_ns=stat.st_mtime_ns, digest=_digest(path), sample=_sample(path, stat.st_size))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sample(path: Path, size: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for place in sampled_places(size):
            file.seek(place)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()


def sampled_places(size: int) -> list[int]:
    """Where the sampled blocks of a file of `size` bytes begin: its first, its last, and some between, always the same."""
    last = max(size - BLOCK, 0)
    draw = random.Random(size)
    return sorted({0, last, *(draw.randrange(last + 1) for _ in range(BLOCKS - 2))})

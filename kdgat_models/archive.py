"""One file that holds several: a zip with a list of what is in it, each with its digest. Read whole, or refused with a reason.

Nothing of it is unpickled, no name in it becomes a path, and no more memory is taken than its list says.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kdgat_models.errors import ArchiveError
from kdgat_models.files import atomic_path, wrong_fields

CONTENTS = "contents.json"
MOST_BYTES = 2**30
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content makes the same file, whenever it was written


class Kind(NamedTuple):
    """What an archive is."""

    name: str  # for people and in the file, such as "bundle"
    format: int  # newest that this version reads
    made_by: str  # how one gets such a file


class Member(BaseModel):
    """One file in an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=0, le=MOST_BYTES)]  # bytes
    digest: str  # blake2b, 16 bytes


class Contents(BaseModel):
    """`contents.json`; newer versions may say more than this one knows, so that it can be told that they are newer."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    format: Annotated[int, Field(ge=1)]
    members: dict[str, Member]


def write_archive(target: Path, kind: Kind, members: Mapping[str, bytes]) -> Path:
    """Write an archive, atomically; the same members make the same file, byte for byte."""
    listed = {name: Member(size=len(content), digest=_digest(content)) for name, content in members.items()}
    contents = Contents(kind=kind.name, format=kind.format, members=listed).model_dump_json(indent=2).encode()
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in {CONTENTS: contents, **members}.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, 9)
    return target


def read_archive(source: Path, kind: Kind) -> dict[str, bytes]:
    """The members of an archive by name.

    Raises:
        ArchiveError: it is missing, no archive of this kind, torn, altered, or of a newer format; says what to do.
    """
    try:
        with source.open("rb") as file:
            return _members(source, file, kind)
    except OSError as error:
        raise ArchiveError(f"{source} cannot be read: {error.strerror or error}. {kind.made_by}") from error


def _members(source: Path, file: BinaryIO, kind: Kind) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(file) as archive:
            contents = _contents(source, archive, kind)
            names = {info.filename for info in archive.infolist()}
            for other in sorted(names ^ {CONTENTS, *contents.members}):
                raise ArchiveError(f"{source} was altered: {other!r} is {'not listed' if other in names else 'missing'} in it")
            return {name: _member(source, archive, name, member) for name, member in contents.members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ArchiveError(f"{source} is no {kind.name}, or is torn: {error}. {kind.made_by}") from error


def _contents(source: Path, archive: zipfile.ZipFile, kind: Kind) -> Contents:
    if CONTENTS not in archive.namelist():
        raise ArchiveError(f"{source} is no {kind.name}: it has no {CONTENTS}. {kind.made_by}")
    if archive.getinfo(CONTENTS).file_size > 2**20:
        raise ArchiveError(f"{source} was altered: its {CONTENTS} has {archive.getinfo(CONTENTS).file_size} bytes")
    try:
        contents = Contents.model_validate_json(archive.read(CONTENTS))
    except ValidationError as error:
        raise ArchiveError(f"{source} was altered: {CONTENTS}: {wrong_fields(error)}") from error
    if contents.kind != kind.name:
        raise ArchiveError(f"{source} is a {contents.kind[:40]}, not a {kind.name}. {kind.made_by}")
    if contents.format > kind.format:
        raise ArchiveError(
            f"{source} is a {kind.name} of format {contents.format}; this version reads up to {kind.format}. "
            "Install a newer version of kdgat"
        )
    return contents


def _member(source: Path, archive: zipfile.ZipFile, name: str, member: Member) -> bytes:
    with archive.open(name) as file:
        content = file.read(member.size + 1)
    if len(content) != member.size or _digest(content) != member.digest:
        raise ArchiveError(f"{source} was altered or torn: {name} is not what {CONTENTS} says")
    return content


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def as_json(value: object) -> bytes:
    """A JSON member; NaN is refused."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()

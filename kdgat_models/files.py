"""Files that are whole if they exist: written under a temporary name in the same folder, fsynced, renamed."""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from config.strict_json import load_json
from kdgat_models.errors import CheckpointError

Record = TypeVar("Record", bound=BaseModel)
WRONG_FIELDS = 5  # that an error names, at most


@contextmanager
def atomic_path(path: Path) -> Generator[Path, None, None]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it is removed.

    The file exists and is empty; it has the permissions that the umask leaves of 0666, as any new file. This process holds it:
    if it is killed, `remove_if_left` knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, descriptor = _new_file(path)
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _new_file(path: Path) -> tuple[Path, int]:
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with suppress(FileExistsError):
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            if hold(descriptor):
                return temporary, descriptor
            os.close(descriptor)


def hold(descriptor: int) -> bool:
    """Lock an open file until it is closed or its process is gone; False: somebody has just removed it as left behind.

    A file system without locks is no error: there, nothing is ever known to be left behind.
    """
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def is_left(path: Path) -> bool:
    """Whether a file that was held is there, and nobody holds it any more."""
    with suppress(OSError), path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def remove_if_left(path: Path) -> bool:
    """Remove a file that nobody holds any more; whether it was removed."""
    with suppress(OSError), path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False


TEMPORARY = re.compile(r"\..+\.[0-9a-z_]{8}")  # as `atomic_path` calls its files, and did in earlier versions


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of one that is not whole yet."""
    return TEMPORARY.fullmatch(path.name) is not None


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a file that is whole, in such an order that no crash of the machine leaves `path` torn."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically. NaN is refused: it is not JSON, and a metric that is NaN is a bug."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file that one of our stages wrote.

    Raises:
        CheckpointError: it is missing, or is no JSON that we would write.
    """
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_record(path: Path, model: type[Record]) -> Record:
    """A JSON file as a typed record.

    Raises:
        CheckpointError: it is missing, no JSON, or a field of it is missing, unknown or of another type; names file and field.
    """
    return as_record(path, read_json(path), model)


def as_record(path: Path, content: Any, model: type[Record]) -> Record:
    """`content`, which was read from `path`, as a typed record; raises as `read_record`."""
    try:
        return model.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise CheckpointError(f"{path} does not fit its schema: {wrong_fields(error)}") from error


def wrong_fields(error: ValidationError) -> str:
    """The first wrong fields, by dotted name, with what is wrong with each."""
    found = [f"{'.'.join(map(str, item['loc'])) or 'content'}: {item['msg']}" for item in error.errors()]
    more = f"; and {len(found) - WRONG_FIELDS} more" if len(found) > WRONG_FIELDS else ""
    return "; ".join(found[:WRONG_FIELDS]) + more


def digest_files(paths: Iterable[Path]) -> str:
    """Digest of the names and contents of `paths`, in that order; 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
        digest.update(os.fsencode(path.name) + b"\0" + content)
    return digest.hexdigest()


def digest_json(value: Any) -> str:
    """Digest of `value` in canonical JSON; 32 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

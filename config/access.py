"""The access key of a root: who has it may use Prefect's API and MLflow's UI, and so do anything that this account may do.

It is made when it is first needed and kept in `{root}/access/key`, mode 0600, in a folder of mode 0700.
"""

import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from config.errors import ConfigError

USER = "kdgat"
FORM = re.compile(rf"{USER}:[A-Za-z0-9_-]{{43}}")


def key_file(root: Path) -> Path:
    """Where the key of a root lies."""
    return root / "access" / "key"


def access_key(root: Path) -> str:
    """The key, as `user:password`; made if there is none yet. All who ask at the same time get the same one.

    Raises:
        ConfigError: it cannot be read or made, is damaged, or can be read by others.
    """
    file = key_file(root)
    try:
        if not file.exists():
            _make(file)
        return _read(file)
    except OSError as error:
        said = f"the access key {file} cannot be read or made: {error.strerror}. Is the root another user's?"
        raise ConfigError(said) from error


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".key.")  # mode 0600
    try:
        with os.fdopen(handle, "w") as made:
            made.write(f"{USER}:{secrets.token_urlsafe(32)}\n")
            made.flush()
            os.fsync(made.fileno())
        with suppress(FileExistsError):  # somebody was faster: theirs is the key
            os.link(temporary, file)  # unlike a rename, never takes the place of another
    finally:
        os.unlink(temporary)


def _read(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor) as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        text = opened.read(1000).strip()
    if mode & 0o077:
        raise ConfigError(
            f"the access key {file} can be read by others (mode {mode:04o}, allowed is 0600). "
            "Delete it: a new one is made by the next start"
        )
    if not FORM.fullmatch(text):
        raise ConfigError(
            f"the access key {file} is damaged: it holds {len(text)} characters that are no key. "
            "Delete it: a new one is made by the next start"
        )
    return text

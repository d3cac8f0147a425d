"""What the name of a capture says."""

import os
import re
from pathlib import Path

from config.catalog import CAPTURE_SUFFIXES
from kdgat_models.errors import CaptureError

UNKNOWN_ATTACK = "unknown"
MAX_NAME_BYTES = 200  # names of files that are made of it are longer, and may have 255
COPY = "#"  # a copy of a capture, with synthetic attacks, is called CAPTURE#1


def attack_type(capture: str) -> str:
    """Attack type that a capture's name announces: `DoS-kia` -> DoS, `rpm-accessory-1` -> rpm.

    `none` for the names of attack-free captures; `unknown` for a name that announces nothing, such as `-kia`.
    """
    stem = re.sub(r"_(dataset|data)$", "", capture)
    if re.match(r"(attack[-_]free|accessory|normal)", stem, re.IGNORECASE):
        return "none"
    found = re.match(r"force-neutral|[^-]+", stem)
    return (found.group().strip() if found else "") or UNKNOWN_ATTACK


def capture_name(raw: Path) -> str:
    """A file's name without its suffix; it names the capture in tables, logs and other files.

    Raises:
        CaptureError: it cannot, because it is too long, empty, not printable, or would be taken for that of a copy.
    """
    suffix = max((suffix for suffix in CAPTURE_SUFFIXES if raw.name.lower().endswith(suffix)), key=len)
    name = raw.name[: -len(suffix)]
    if COPY in name or not name.isprintable() or not 0 < len(os.fsencode(name)) <= MAX_NAME_BYTES:
        raise CaptureError(
            f"a capture cannot be called {name!r} ({str(raw.parent)!r}): its name has 1 to {MAX_NAME_BYTES} bytes of printable "
            f"characters, in UTF-8, and no {COPY!r}, which names copies with synthetic attacks; rename the file"
        )
    return name

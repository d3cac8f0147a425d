"""JSON from files that may have been altered: whatever is wrong with it is a ValueError, and memory stays bounded."""

import json
import math
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**20  # the largest that we write, the report of a protocol, has some MB


def load_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is too large, no UTF-8, no JSON, nested too deeply, or has a key twice or a number that is no number.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_object, parse_float=_finite, parse_int=_whole, parse_constant=_constant
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands in it twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > 20:  # of a 64-bit number
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")

"""Seeded alterations of files, as a failing disk, a bad copy or a hand would make them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

HUGE = 10**18
UNWRITTEN = b"[" * 90_000, b'{"a":' * 90_000, b'{"a": 1, "a": 2}'
ODD: tuple[Callable[[random.Random], Any], ...] = (
    lambda rng: None,
    lambda rng: True,
    lambda rng: -1,
    lambda rng: 0,
    lambda rng: HUGE,
    lambda rng: 10**400,
    lambda rng: rng.uniform(-1e9, 1e9),
    lambda rng: float("nan"),
    lambda rng: float("-inf"),
    lambda rng: 1e308,
    lambda rng: "",
    lambda rng: "x" * rng.choice([1, 300, 70_000]),
    lambda rng: "../../etc\0/\ud800",
    lambda rng: [],
    lambda rng: {},
    lambda rng: {"a": {"b": [1, None]}},
    lambda rng: [[[]]] * 50,
    lambda rng: list(range(2000)),
)


def altered_bytes(content: bytes, rng: random.Random) -> bytes:
    """`content` with bits flipped, bytes overwritten, put in or taken out, or torn."""
    data = bytearray(content)
    place = rng.randrange(len(data)) if data else 0
    length = rng.choice([1, 2, 8, 100, 5000])
    match rng.randrange(7):
        case 0:
            for _ in range(rng.choice([1, 1, 4, 32])):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1:
            data[place : place + length] = rng.randbytes(len(data[place : place + length]))
        case 2:
            data[place : place + length] = bytes(len(data[place : place + length]))
        case 3:
            data[place:place] = rng.randbytes(length)
        case 4:
            del data[place : place + length]
        case 5:
            del data[place:]
        case 6:
            data += rng.randbytes(length)
    return bytes(data)


def altered_json(content: bytes, rng: random.Random) -> bytes:
    """The JSON in `content` with a field taken out, put in, or given another value; now and then JSON that nobody writes."""
    value = json.loads(content)
    if rng.random() < 0.05:
        return rng.choice(
            [b"[" * 90_000, b'{"a":' * 90_000, b'{"a": 1, "a": 2}', content + content, content.decode().encode("utf-16")]
        )
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        value = _altered(value, rng)
    try:
        return json.dumps(value).encode()
    except (ValueError, UnicodeEncodeError):
        return b"null"


def _altered(value: Any, rng: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return rng.choice(ODD)(rng)
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = rng.choice(places)[0]  # a part of the whole in another place; may be nested in itself
            if _is_circular(value):
                holder[key] = None
        case 2 if isinstance(holder, dict):
            holder[rng.choice(["surprise", "", key + "x"])] = rng.choice(ODD)(rng)
        case 3 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = rng.choice([-holder[key], holder[key] + 1, holder[key] * 1000, str(holder[key]), float(holder[key])])
        case _:
            holder[key] = rng.choice(ODD)(rng)
    return value


def _places(value: Any) -> Any:
    """(dict or list, key or index) of everything in `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _is_circular(value: Any) -> bool:
    try:
        json.dumps(value)
    except (ValueError, RecursionError, UnicodeEncodeError):
        return True
    return False


def alter(folder: Path, others: list[bytes], rng: random.Random) -> str:
    """Alter one file below `folder`; `others` are contents that belong elsewhere. Returns what was done."""
    file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    content = file.read_bytes()
    kind = rng.random()
    if file.suffix == ".json" and kind < 0.7:
        file.write_bytes(altered_json(content, rng))
        return f"JSON of {file.name}"
    if kind < 0.9:
        file.write_bytes(altered_bytes(content, rng))
        return f"bytes of {file.name}"
    if kind < 0.96:
        file.write_bytes(rng.choice(others))
        return f"{file.name} swapped"
    file.unlink()
    if kind < 0.98:
        file.mkdir()
    return f"{file.name} removed"

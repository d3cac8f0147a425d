"""Captures in every text format, and what happens to files: bytes, lines, encodings, numbers, compression."""

import gzip
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

Rng = np.random.Generator


class Case(NamedTuple):
    """One file and how it came about."""

    reader: str
    mutations: tuple[str, ...]
    suffix: str
    stored: bytes  # what the file holds
    content: bytes | None  # the same unpacked; None if the compressed file was damaged


def four_column(rng: Rng, time: float) -> str:
    return f"{time:.6f},{rng.integers(0, 0x800):03X},{rng.bytes(rng.integers(0, 9)).hex().upper()},{rng.integers(0, 2)}"


def untimed(rng: Rng, time: float) -> str:
    return four_column(rng, time).split(",", 1)[1]


def hcrl_csv(rng: Rng, time: float) -> str:
    data = rng.bytes(rng.integers(0, 9))
    return ",".join(
        [f"{time:.6f}", f"{rng.integers(0, 0x800):04x}", str(len(data)), *(f"{b:02x}" for b in data), rng.choice(["R", "T"])]
    )


def hcrl_text(rng: Rng, time: float) -> str:
    remote = rng.random() < 0.1
    data = rng.bytes(rng.integers(0, 9))
    shown = "" if remote else " ".join(f"{b:02x}" for b in data)
    return f"Timestamp: {time:.6f}        ID: {rng.integers(0, 0x800):04x}    {int(remote)}00    DLC: {len(data)}    {shown}"


def candump_log(rng: Rng, time: float) -> str:
    identifier = f"{rng.integers(0, 0x800):03X}" if rng.random() < 0.5 else f"{rng.integers(0, 0x20000000):08X}"
    if rng.random() < 0.1:
        identifier = f"{0x20000000 + rng.integers(0, 0x200):08X}"
    data = rng.bytes(rng.integers(0, 9)).hex().upper()
    if rng.random() < 0.1:
        data = f"R{rng.integers(0, 9)}"
    elif rng.random() < 0.2:
        data = f"#{rng.integers(0, 4)}{rng.bytes(rng.choice([0, 8, 12, 64])).hex()}"
    return f"({time:.6f}) can0 {identifier}#{data}{rng.choice(['', ' R', ' T'])}"


def candump_text(rng: Rng, time: float) -> str:
    identifier = f"{rng.integers(0, 0x800):03X}" if rng.random() < 0.5 else f"{rng.integers(0, 0x20000100):08X}"
    fd = rng.random() < 0.2
    data = rng.bytes(rng.choice([0, 8, 12, 64]) if fd else rng.integers(0, 9))
    size = f"[{len(data):02d}]" if fd else f"[{len(data)}]"
    shown = "remote request" if not fd and rng.random() < 0.1 else data.hex(" ").upper()
    return f" ({time:.6f})  can0  {identifier:>8}  {size:>4}  {shown}"


LINES: dict[str, tuple[str | None, Callable[[Rng, float], str]]] = {
    "four_column_csv": ("timestamp,arbitration_id,data_field,attack", four_column),
    "untimed_csv": ("arbitration_id,data_field,attack", untimed),
    "hcrl_csv": (None, hcrl_csv),
    "candump_log": (None, candump_log),
    "candump_text": (None, candump_text),
    "hcrl_text": (None, hcrl_text),
}


def healthy(reader: str, rng: Rng) -> bytes:
    """A small capture, whose clock steps back by up to a millisecond now and then."""
    header, line = LINES[reader]
    time = 1.5e9 + np.cumsum(rng.choice([1e-4, 1e-3, 0.5], rng.integers(1, 30))) - rng.choice([0, 0, 0, 9e-4])
    return "\n".join([*([header] if header else []), *(line(rng, t) for t in time), ""]).encode()


# Mutations: (content, rng) -> content. Those of lines leave the others as they are.


def _lines(change: Callable[[list[bytes], int, Rng], None]) -> Callable[[bytes, Rng], bytes]:
    def mutate(content: bytes, rng: Rng) -> bytes:
        lines = content.split(b"\n")
        change(lines, int(rng.integers(len(lines))), rng)
        return b"\n".join(lines)

    return mutate


def _field(value: Callable[[Rng], bytes]) -> Callable[[bytes, Rng], bytes]:
    def change(lines: list[bytes], at: int, rng: Rng) -> None:
        separator = b"," if b"," in lines[at] else b" "
        fields = lines[at].split(separator)
        fields[rng.integers(len(fields))] = value(rng)
        lines[at] = separator.join(fields)

    return _lines(change)


def _flip(content: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def _insert(content: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(content) + 1))
    what = (b"\0", b"\r", b"\n", b"\xff", b" ", b"\t", "é".encode(), "\u2028".encode(), b"\x1c", b"\n\n\n", b",", b'"')
    return content[:at] + what[rng.integers(len(what))] + content[at:]


def _shuffle(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join([lines[0], *(lines[1 + i] for i in rng.permutation(len(lines) - 1))])


NUMBERS = [
    "1e39",
    "1e999",
    "9" * 400,
    "-1",
    "nan",
    "inf",
    "1e-400",
    "0",
    "",
    "1.",
    ".5",
    "0x7",
    "FFFFFFFF",
    "7258118401",
    "1_0",
    "٣",
]
TIMES = ["1e9", "7e9", "0", "1500000000.000001", "1499999999.9", "1500000100"]


def _piece_lost(content: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + content[at + int(rng.integers(1, 40)) :]


def _other_time(lines: list[bytes], at: int, rng: Rng) -> None:
    lines[at] = str(rng.choice(TIMES)).encode() + lines[at][lines[at].find(b",") :]


def _nonsense(lines: list[bytes], at: int, rng: Rng) -> None:
    lines[at:at] = [b"x"] * int(rng.integers(300))


MUTATIONS: dict[str, Callable[[bytes, Rng], bytes]] = {
    "bits flipped": _flip,
    "byte inserted": _insert,
    "cut": lambda content, rng: content[: rng.integers(len(content))],
    "piece lost": _piece_lost,
    "line doubled": _lines(lambda lines, at, rng: lines.insert(at, lines[at])),
    "line lost": _lines(lambda lines, at, rng: lines.pop(at) and None),
    "line cut": _lines(lambda lines, at, rng: lines.__setitem__(at, lines[at][: rng.integers(len(lines[at]) + 1)])),
    "lines joined": _lines(lambda lines, at, rng: lines.__setitem__(slice(at, at + 2), [b"".join(lines[at : at + 2])])),
    "lines moved": _lines(lambda lines, at, rng: lines.insert(int(rng.integers(len(lines))), lines.pop(at))),
    "lines shuffled": _shuffle,
    "blank line": _lines(lambda lines, at, rng: lines.insert(at, b" " * rng.integers(3))),
    "many lines of nonsense": _lines(_nonsense),
    "field changed": _field(lambda rng: str(rng.choice(NUMBERS)).encode()),
    "time changed": _lines(_other_time),
    "CRLF": lambda content, rng: content.replace(b"\n", b"\r\n"),
    "CR": lambda content, rng: content.replace(b"\n", b"\r"),
    "BOM": lambda content, rng: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content, rng: content.decode("latin-1").encode("utf-16"),
    "Latin 1": lambda content, rng: content.replace(b"0", b"\xe9", 1),
    "upper case": lambda content, rng: content.upper(),
    "nothing": lambda content, rng: content,
}  # fmt: skip


def case(number: int) -> Case:
    """The same number gives the same case."""
    rng = np.random.default_rng([9, number])
    reader = list(LINES)[number % len(LINES)]
    chosen = tuple(str(name) for name in rng.choice(list(MUTATIONS), rng.integers(1, 4)))
    content = healthy(reader, rng)
    for name in chosen:
        content = MUTATIONS[name](content, rng) or b"\n"
    suffix = str(rng.choice([".csv", ".csv.gz", ".csv.zst"], p=[0.9, 0.05, 0.05]))
    stored = content
    if suffix != ".csv":
        stored = gzip.compress(content, mtime=0) if suffix == ".csv.gz" else pa.compress(content, "zstd", asbytes=True)
    damage = [None, lambda data: data[: rng.integers(len(data))], lambda data: _flip(data, rng)][rng.integers(3)]
    if damage is None or suffix == ".csv":
        return Case(reader, chosen, suffix, stored, content)
    return Case(reader, chosen, suffix, damage(stored), None)

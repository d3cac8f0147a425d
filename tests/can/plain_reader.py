"""What a row of a capture is, in plain Python, row by row: the oracle of the readers."""

import re
from typing import NamedTuple

HEADERS = {"four_column_csv": "timestamp,arbitration_id,data_field,attack", "untimed_csv": "arbitration_id,data_field,attack"}
LATEST = 7_258_118_400.0  # s, the year 2200
BLANK = " \t\r\n\v\f"
NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", re.ASCII)
HEX_BYTES = re.compile(r"([0-9A-Fa-f]{2})*", re.ASCII)


class Row(NamedTuple):
    timestamp: float
    arbitration_id: int
    dlc: int
    payload: bytes
    label: int
    channel: str = ""
    error: bool = False


def data_rows(content: bytes, reader: str) -> list[tuple[int, str]]:
    """Number and text of each row of data. Blank lines count, but for those at the end of the file."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("ascii", "backslashreplace")
    lines = list(enumerate(text.split("\n"), 1))
    while lines and not lines[-1][1].strip(BLANK):
        lines.pop()
    return lines[1:] if reader in HEADERS else lines


def plain_row(reader: str, line: str) -> Row | None:
    """The frame of a line, or None if it is none."""
    return {
        "four_column_csv": _four_column,
        "untimed_csv": lambda line: _four_column(f"0,{line}"),
        "candump_log": _candump_log,
        "candump_text": _candump_text,
        "hcrl_csv": _hcrl_csv,
        "hcrl_text": _hcrl_text,
    }[reader](line)


def recognised(line: str) -> bool:
    """Whether a first line is that of any format."""
    shown = line.strip(BLANK)
    header = re.sub(r"[ \t\r\n\v\f]", "", shown).lower() in HEADERS.values()
    return header or any(_shape(reader, shown) for reader in ("hcrl_csv", "hcrl_text", "candump_log", "candump_text"))


def _shape(reader: str, line: str) -> bool:
    """A row whose numbers may be out of bounds, which tells the format all the same."""
    return plain_row(reader, re.sub(r"^(Timestamp:\s*|\()?[0-9][0-9.eE+-]*", r"\g<1>1", line)) is not None or (
        plain_row(reader, line) is not None
    )


def _candump_log(line: str) -> Row | None:
    match = re.fullmatch(
        r"\(([^() ]*)\) +([^# ]+) +([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#([^ ]*)( +[RrTt])?",
        re.sub(f"[{BLANK}]", " ", line).rstrip(" "),
    )
    if not match:
        return None
    time, channel, identifier, data, _ = match.groups()
    number = int(identifier, 16)
    if not NUMBER.fullmatch(time) or float(time) > LATEST or number >= (0x800 if len(identifier) == 3 else 0x40000000):
        return None
    data = re.sub("_[9A-Fa-f]$", "", data)
    remote = re.fullmatch("R([0-8]?)", data)
    fd = re.match("#[0-9A-Fa-f]", data)
    content = "" if remote else data[2:] if fd else data
    if not re.fullmatch(r"([0-9A-Fa-f]{2}\.?)*", content):
        return None
    return _candump_row(float(time), channel, identifier, content.replace(".", ""), remote and int(remote[1] or 0), bool(fd))


def _candump_row(time: float, channel: str, identifier: str, content: str, announced: int | None, fd: bool) -> Row | None:
    """A frame whose ID has 3 or 8 digits; one of 29 bits is another than that of 11 bits with the same number."""
    number = int(identifier, 16)
    if len(content) // 2 not in ((*range(9), 12, 16, 20, 24, 32, 48, 64) if fd else range(9)):
        return None
    hidden = len(identifier) == 8 and number & 0x1FFFFFFF <= 0x7FF
    identity = (number & 0x1FFFFFFF) | (0x80000000 if hidden else 0)
    dlc = len(content) // 2 if announced is None else announced
    return Row(time, identity, dlc, bytes.fromhex(content), 0, channel, bool(number & 0x20000000))


def _candump_text(line: str) -> Row | None:
    line = re.sub(f"[{BLANK}]", " ", line).rstrip(" ")
    match = re.fullmatch(
        r" *\(([^()]*)\) +([^# ]+) +(?:[TR]X +[-B] +[-E] +)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8}) +\[([0-8]|[0-9]{2})\](.*)", line
    )
    if not match:
        return None
    time, channel, identifier, dlc, rest = match.groups()
    rest = re.sub(" +('.*|ERRORFRAME)$", "", rest)
    number = int(identifier, 16)
    if not NUMBER.fullmatch(time) or float(time) > LATEST or number >= (0x800 if len(identifier) == 3 else 0x40000000):
        return None
    if re.fullmatch(" +remote request", rest):
        return _candump_row(float(time), channel, identifier, "", int(dlc), len(dlc) == 2)
    content = rest.replace(" ", "")
    if not re.fullmatch("( +[0-9A-Fa-f]{2})*", rest) or len(content) != 2 * int(dlc):
        return None
    return _candump_row(float(time), channel, identifier, content, None, len(dlc) == 2)


def _row(time: str, identifier: str, dlc: int | None, data: str, label: int, remote: bool = False) -> Row | None:
    if not NUMBER.fullmatch(time) or not re.fullmatch(r"(0[xX])?[0-9A-Fa-f]{1,8}", identifier, re.ASCII):
        return None
    if not HEX_BYTES.fullmatch(data) or len(data) > 16 or float(time) > LATEST or int(identifier, 16) >= 2**29:
        return None
    payload = bytes.fromhex(data)
    announced = len(payload) if dlc is None else dlc
    if len(payload) != announced and not (remote and not payload):
        return None
    return Row(float(time), int(identifier, 16), announced, payload, label)


def _four_column(line: str) -> Row | None:
    fields = line.rstrip(BLANK).split(",")
    if len(fields) != 4 or fields[3] not in ("0", "1"):
        return None
    return _row(fields[0], fields[1], None, fields[2].strip(BLANK), int(fields[3]))


def _hcrl_csv(line: str) -> Row | None:
    fields = line.rstrip(BLANK).split(",")
    if len(fields) < 4 or not re.fullmatch("[0-8]", fields[2]) or fields[-1] not in ("R", "T"):
        return None
    data = fields[3:-1]
    if any(len(byte) != 2 for byte in data):
        return None
    return _row(fields[0], fields[1], int(fields[2]), "".join(data), int(fields[-1] == "T"))


def _hcrl_text(line: str) -> Row | None:
    words = re.split(f"[{BLANK}]+", line.rstrip(BLANK))
    joined = " ".join(words)
    match = re.fullmatch(r"Timestamp: ?([^ ]+) ID: ?([^ ]+) ([01])[01]{2} DLC: ?([0-8])((?: [^ ]{2})*)", joined, re.ASCII)
    if not match:
        return None
    time, identifier, remote, dlc, data = match.groups()
    return _row(time, identifier, int(dlc), data.replace(" ", ""), 0, remote == "1")

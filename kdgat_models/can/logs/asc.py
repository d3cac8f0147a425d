"""Vector's ASCII log."""

import re
from collections.abc import Iterator
from pathlib import Path

import can

from kdgat_models.can.logs.log_format import LogFormat

# A line of a frame: time, channel, then an ID (or a name) and Rx or Tx; CAN FD has its own word before the channel.
_FRAME = re.compile(r"^\s*\d+\.\d+\s+(CANFD\s+)?\d+\s+\S+\s+(\S+\s+)?(Rx|Tx|TxRq)\b", re.IGNORECASE)
_ERROR = re.compile(r"^\s*\d+\.\d+\s+(CANFD\s+)?\d+\s+ErrorFrame", re.IGNORECASE)


def _begins(content: bytes) -> bool:
    head = content[:2000].decode("latin-1").lower().lstrip()
    return head.startswith("date ") and "base " in head and "timestamps" in head


def _messages(path: Path) -> Iterator[can.Message]:
    with can.ASCReader(path, relative_timestamp=False) as reader:
        yield from reader


def _expected(path: Path) -> int:
    with path.open(encoding="latin-1") as file:
        return sum(bool(_FRAME.match(line) or _ERROR.match(line)) for line in file)


ASC = LogFormat("asc", _begins, _messages, _expected, "date Tue May 27 04:09:35.000 pm 2014 / base hex  timestamps absolute")

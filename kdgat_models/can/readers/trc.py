"""PEAK's trace, versions 1.0, 1.1, 1.3, 2.0 and 2.1. Times are absolute (UTC) by its start time, else they begin at 0."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdgat_models.can.frames import FD_SIZES
from kdgat_models.can.readers.library import LibraryReader
from kdgat_models.can.readers.text_feed import Dialect, text_events

if TYPE_CHECKING:
    import can

NUMBERED = r"\d+\)?\s+[\d.]+\s+"
# Comments; changes of the status, counts of errors, events, warnings.
NOTHING = re.compile(rf";|{NUMBERED}(\d+\s+)?(ST|EC|EV|OV|Warng|Event)\b|{NUMBERED}FFFFFFFF\b")
NEVER = re.compile(r"(?!)")
ERROR = re.compile(rf"{NUMBERED}(\d+\s+)?(ER|Error)\b")


def _open(file: Any, header: list[str]) -> "Iterator[can.Message]":
    from can import TRCReader

    return iter(TRCReader(file))


TRC = LibraryReader(
    "trc",
    ";$FILEVERSION=2.1",
    lambda line: re.match(r";\$FILEVERSION|;#{10}|;\s+Start time:", line) is not None,
    lambda source: text_events(source, DIALECT),
    "line",
)
DIALECT = Dialect(
    is_header=lambda line: line.startswith(";") or not line,
    header=lambda header: header,
    open=_open,
    channel=lambda message: "" if message.channel is None else str(message.channel),
    size=lambda message: FD_SIZES[message.dlc] if message.is_fd else min(message.dlc, 8),
    again=NEVER,
    nothing=NOTHING,
    error=ERROR,
)

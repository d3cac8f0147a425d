"""What a log format is: a file of a recording tool that python-can reads, told by how its content begins."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import can
import polars as pl

from kdgat_models.can.readers.reader import COLUMNS

BLOCK_MESSAGES = 50_000
SCHEMA = {
    "timestamp": pl.Float64,
    "arbitration_id": pl.UInt32,
    "dlc": pl.UInt8,
    "payload": pl.Binary,
    "label": pl.UInt8,
    "is_remote_frame": pl.Boolean,
    "is_extended_id": pl.Boolean,
    "is_fd": pl.Boolean,
    "channel": pl.String,
}


class LogFormat(NamedTuple):
    """One format."""

    name: str
    begins: Callable[[bytes], bool]  # first bytes of a file -> whether it is of this format
    messages: Callable[[Path], Iterable[can.Message]]  # raises whatever the library raises of a torn file
    # Lines of the file that must each be a message; None: the library does not pass over what it cannot read.
    expected: Callable[[Path], int] | None
    example: str  # how such a file begins, for people


class Block(NamedTuple):
    """Some messages of a log."""

    rows: pl.DataFrame  # COLUMNS
    error_frames: int  # reported by the controller; they are no frames


def blocks(log: LogFormat, path: Path) -> Iterator[Block]:
    """The messages of a log, in the order of the file; raises what the library raises."""
    kept, errors = list[can.Message](), 0
    for message in log.messages(path):
        if message.is_error_frame:
            errors += 1
        else:
            kept.append(message)
        if len(kept) + errors >= BLOCK_MESSAGES:
            yield Block(_rows(kept), errors)
            kept, errors = [], 0
    yield Block(_rows(kept), errors)


def _rows(messages: list[can.Message]) -> pl.DataFrame:
    columns = {
        "timestamp": [message.timestamp for message in messages],
        "arbitration_id": [message.arbitration_id for message in messages],
        # python-can keeps the DLC that was sent; classical frames may say 9 to 15 and carry 8 bytes.
        "dlc": [message.dlc if message.is_remote_frame else len(message.data) for message in messages],
        "payload": [bytes(message.data) for message in messages],
        "label": [0] * len(messages),
        "is_remote_frame": [message.is_remote_frame for message in messages],
        "is_extended_id": [message.is_extended_id for message in messages],
        "is_fd": [message.is_fd for message in messages],
        "channel": ["" if message.channel is None else str(message.channel) for message in messages],
    }
    assert tuple(columns) == COLUMNS
    return pl.DataFrame(columns, SCHEMA)

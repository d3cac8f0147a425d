"""Formats of recording tools that a library reads, message by message, where speed does not matter."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import MAX_EXTENDED_ID, MAX_STANDARD_ID, PAYLOAD_BYTES
from kdgat_models.can.readers.format import BAD_COLUMNS, Rows
from kdgat_models.can.source import Source

if TYPE_CHECKING:
    import can  # which takes seconds to import

BATCH = 8192  # messages in one part
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
    "is_error_frame": pl.Boolean,
    "text": pl.String,
    "line": pl.Int64,
    "torn": pl.Boolean,
}


class Event(NamedTuple):
    """What a recording holds at one place: a message, an error on the bus, or what is neither."""

    line: int  # number of the line, or of the message in a binary file, from 1
    message: "can.Message | None"
    channel: str = ""
    text: str = ""
    wrong: str | None = None  # why it is no frame
    torn: bool = False  # the recording ends inside it
    is_error: bool = False


class LibraryReader(NamedTuple):
    """One format."""

    name: str
    begins: str  # the first line of such a file, for messages
    recognises: Callable[[str], bool]  # first line (stripped, what is not ASCII escaped) -> whether it is of this format
    events: Callable[[Source], Iterable[Event]]
    unit: str = "frame"  # what the numbers of events count, in messages: line or frame

    @property
    def example(self) -> str:
        """What such a file begins with."""
        return self.begins

    @property
    def labelled(self) -> bool:
        """Recording tools know of no attack."""
        return False

    def advice(self, first_line: str) -> None:
        """None: what nearly begins so is unknown."""

    def diagnose(self, line: str) -> str:
        """Nothing more is known: what is wrong is said with each event."""
        return f"{line[:80]!r} is no frame"

    def rows(self, source: Source) -> Iterator[Rows]:
        """All events of a recording, in parts."""
        events = iter(self.events(source))
        while batch := list(islice(events, BATCH)):
            yield _rows(batch)


def _rows(events: list[Event]) -> Rows:
    wrong = [event.wrong or _fault(event.message) for event in events]
    frames = [_row(event) for event, why in zip(events, wrong, strict=True) if why is None]
    bad = [(event.line, event.text, event.torn, why) for event, why in zip(events, wrong, strict=True) if why is not None]
    return Rows(
        pl.DataFrame(frames, SCHEMA, orient="row"),
        events[-1].line,
        pl.DataFrame(bad, BAD_COLUMNS, orient="row") if bad else None,
    )


def _row(event: Event) -> tuple[object, ...]:
    message = event.message
    if message is None:  # an error on the bus of which the library makes no message
        return (0.0, 0, 0, b"", 0, False, False, False, event.channel, True, event.text, event.line, False)
    payload = b"" if message.is_remote_frame else bytes(message.data)
    return (
        message.timestamp,
        message.arbitration_id,
        min(message.dlc, PAYLOAD_BYTES) if message.is_remote_frame else len(payload),  # a DLC of 9 to 15 means 8 bytes
        payload,
        0,
        message.is_remote_frame,
        message.is_extended_id or message.arbitration_id > MAX_STANDARD_ID,  # some writers forget to say it
        message.is_fd,
        event.channel,
        message.is_error_frame,
        event.text,
        event.line,
        event.torn,
    )


def _fault(message: "can.Message | None") -> str | None:
    """Why a message is no frame that a bus can have carried."""
    if message is None or message.is_error_frame:
        return None
    if not 0 <= message.timestamp <= MAX_TIMESTAMP:  # true for NaN
        return f"the timestamp is {message.timestamp}; expected seconds, 0 to {MAX_TIMESTAMP:.0f} (the year 2200)"
    if message.arbitration_id > MAX_EXTENDED_ID:
        return f"the arbitration ID is {message.arbitration_id:X}; the highest is {MAX_EXTENDED_ID:X} (29 bits)"
    if len(message.data) > PAYLOAD_BYTES and not message.is_fd:
        return f"the payload has {len(message.data)} bytes; a CAN frame carries at most {PAYLOAD_BYTES}"
    return None

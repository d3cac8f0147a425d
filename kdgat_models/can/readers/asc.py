"""Vector's log in ASCII. Times are absolute by its date, in local time as it has no zone; without a date they begin at 0."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdgat_models.can.readers.library import Event, LibraryReader
from kdgat_models.can.readers.text_feed import Dialect, text_events
from kdgat_models.can.source import Source
from kdgat_models.errors import CaptureError

if TYPE_CHECKING:
    import can

HEADER = re.compile(r"date\b|base\s+(hex|dec)\b|(no\s+)?internal events logged|//|$", re.IGNORECASE)
EVENTS = "internal events logged"  # the line that ends a header for python-can, which swallows the next one if there is none
# Triggers, and events with the name of their kind in place of a channel, or behind it.
NOTHING = re.compile(
    r"//|(begin|end)\s+trigger\s*block|date\b|base\b|(no\s+)?internal events logged|"
    r"\d+\.\d+\s+(?!CANFD\b)[A-Za-z]|\d+\.\d+\s+\d+\s+(Statistic:|OverloadFrame|J1939TP)",
    re.IGNORECASE,
)
NEVER = re.compile(r"(?!)")


def _told(header: list[str]) -> list[str]:
    """What python-can needs of the header: all but the line that ends it, which is put at the end."""
    return [*(line for line in header if not line.strip().lower().endswith(EVENTS)), EVENTS]


def _open(file: Any, header: list[str]) -> "Iterator[can.Message]":
    from can import ASCReader

    return iter(ASCReader(file, relative_timestamp=not _has_date(header)))


def _has_date(header: list[str]) -> bool:
    """Whether there is a date that python-can understands; it ends at one that it does not."""
    from can import ASCReader

    dates = [line for line in header if line.strip().lower().startswith("date")]
    try:
        list(ASCReader(io.StringIO("".join(f"{line}\n" for line in _told(dates))), relative_timestamp=False))
    except ValueError:
        return False
    return bool(dates)


def _events(source: Source) -> Iterator[Event]:
    if "relative" in source.head_text.lower().split("timestamps", 1)[-1][:20]:
        raise CaptureError(
            f"{source.name} has times that count from event to event (timestamps relative): export it with absolute timestamps"
        )
    return text_events(source, DIALECT)


DIALECT = Dialect(
    is_header=lambda line: HEADER.match(line) is not None,
    header=_told,
    open=_open,
    channel=lambda message: "" if message.channel is None else str(int(str(message.channel)) + 1),  # as the file has it
    size=lambda message: message.dlc if message.is_fd else min(message.dlc, 8),
    again=re.compile(r"begin\s+trigger\s*block", re.IGNORECASE),  # it sets the time anew
    nothing=NOTHING,
    error=NEVER,
)
ASC = LibraryReader(
    "asc",
    "date Tue May 27 04:09:35.000 pm 2014",
    lambda line: re.match(r"date\s+\S+\s+\S+\s+\d|base\s+(hex|dec)\s+timestamps", line, re.IGNORECASE) is not None,
    _events,
    "line",
)

"""What every format of recordings gives: rows, in parts, each a frame or null where the file holds none."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import polars as pl

from kdgat_models.can.source import Source

# Of a frame. A null means that the row is not valid.
COLUMNS = ("timestamp", "arbitration_id", "dlc", "payload", "label", "is_remote_frame", "is_extended_id", "is_fd")
# Of a row: on which bus it was seen ("" where the format does not say), and whether it reports an error of the bus instead.
ROW_COLUMNS = (*COLUMNS, "channel", "is_error_frame")
BAD_COLUMNS = {"line": pl.Int64, "text": pl.String, "torn": pl.Boolean, "reason": pl.String}


class Rows(NamedTuple):
    """Rows that follow each other in a recording."""

    frames: pl.DataFrame  # ROW_COLUMNS; text, line, torn: what the recording holds there, and whether it ends inside it
    last: int  # number of the last line (or frame) that was read
    bad: pl.DataFrame | None = None  # BAD_COLUMNS; more rows, of which it is known why they are none


class Format(Protocol):
    """One format: a text whose lines match a regular expression (`Reader`), or one that a library reads (`LibraryReader`)."""

    @property
    def name(self) -> str:
        """Its name in the registry."""
        ...

    @property
    def example(self) -> str:
        """A line of data."""
        ...

    @property
    def begins(self) -> str:
        """The first line of such a file, for messages."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether it says which frames belong to an attack."""
        ...

    @property
    def unit(self) -> str:
        """What is counted in messages: line or frame."""
        ...

    def recognises(self, first_line: str) -> bool:
        """Whether a recording that begins with this line (stripped, what is not ASCII escaped) is of this format."""
        ...

    def advice(self, first_line: str) -> str | None:
        """What to do about a recording that begins nearly like one of this format; None if it does not."""
        ...

    def rows(self, source: Source) -> Iterator[Rows]:
        """All rows of a recording."""
        ...

    def diagnose(self, line: str) -> str:
        """What is wrong with a line that is no frame."""
        ...


def bad_row(line: int, text: str, reason: str, torn: bool = False) -> pl.DataFrame:
    """One row that is no frame (BAD_COLUMNS)."""
    return pl.DataFrame([(line, text, torn, reason)], schema=BAD_COLUMNS, orient="row")

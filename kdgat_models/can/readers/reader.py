"""Text formats of recorded CAN traffic. A format is a regular expression for its lines and a way to read the groups.

Lines are matched and converted by polars in native code; Python looks only at the lines that do not match, to say why.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import polars as pl

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import FD_SIZES, MAX_EXTENDED_ID, MAX_STANDARD_ID, PAYLOAD_BYTES
from kdgat_models.can.lines import Lines, lines_of
from kdgat_models.can.readers.format import Rows, bad_row
from kdgat_models.can.source import Source

TIMESTAMP = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
IDENTIFIER = r"(?:0[xX])?[0-9A-Fa-f]{1,8}"
BYTES = r"(?:[0-9A-Fa-f]{2}){0,8}"
ERROR_FLAG = 0x2000_0000  # of SocketCAN, in the ID of what is no frame but tells of an error (CAN_ERR_FLAG)
TORN = "the file ends inside this line: it looks truncated"

Diagnosis = Callable[[str], str]


class Reader(NamedTuple):
    """One text format.

    The named groups of `line` say what a line holds. `id` and `data` are needed (hex digits, with blanks or commas between).
    Others: `timestamp` in s, or `date` in UTC; `label` (1 or T: of an attack); `dlc`, where the format says it beside the data;
    `remote` (any word but 0); `extended_id`, an ID of 29 bits whatever its number, which may have `ERROR_FLAG`; `fd`, which
    only frames of CAN FD have; `channel`.
    """

    name: str
    line: str  # regular expression with named groups, for a whole line without its end
    header: str | None  # the first line, lower case without blanks, if the format has one
    example: str
    diagnose: Diagnosis  # line that does not match -> what is wrong with it
    needs_line_end: bool = False  # a line that is cut short may be valid: the last counts only if it has its end
    retimed: Callable[[Iterator[Rows]], Iterator[Rows]] | None = None  # where a line does not tell its time by itself
    # A first line (regular expression) that is nearly of this format, and what to do about it.
    near: tuple[str, str] | None = None

    @property
    def labelled(self) -> bool:
        """Whether it says which frames belong to an attack."""
        return "(?P<label>" in self.line

    @property
    def unit(self) -> str:
        """What is counted in messages."""
        return "line"

    @property
    def begins(self) -> str:
        """The first line of such a file, for messages."""
        return self.header or self.example

    def recognises(self, first_line: str) -> bool:
        """Whether it is the header; of a format without one, the shape of the line decides, which may itself be bad."""
        if self.header is not None:
            return re.sub(r"\s", "", first_line).lower() == self.header
        return not self.parse(pl.Series([first_line]))["dlc"].has_nulls()

    def advice(self, first_line: str) -> str | None:
        """What to do about a recording that begins nearly like one of this format; None if it does not."""
        return self.near[1] if self.near and re.match(self.near[0], first_line) else None

    def rows(self, source: Source) -> Iterator[Rows]:
        """All lines of a recording but its header."""
        rows = (self._rows(part) for part in lines_of(source))
        return rows if self.retimed is None else self.retimed(rows)

    def _rows(self, lines: Lines) -> Rows:
        if self.header is not None and lines.first == 1:
            lines = Lines(lines.text[1:], 2, lines.torn)
        line = pl.int_range(lines.first, lines.last + 1)
        rows = self.parse(lines.text).with_columns(text=lines.text, line=line, torn=(line == lines.last) & lines.torn)
        if lines.torn and self.needs_line_end and len(rows):
            return Rows(rows[:-1], lines.last, bad_row(lines.last, lines.text[-1], TORN, True))
        return Rows(rows, lines.last)

    def parse(self, lines: pl.Series) -> pl.DataFrame:
        """Lines -> columns `ROW_COLUMNS`; a null in one of them: a bad line."""
        groups = lines.str.extract_groups(self.line).struct.unnest()
        has = set(groups.columns)
        number, extended, error = _identifier(has)
        remote = (
            (pl.col("remote").is_not_null() & (pl.col("remote") != "0").fill_null(False)) if "remote" in has else pl.lit(False)
        )
        data = pl.col("data").str.replace_all(r"[,.\s]", "")
        if "remote" in has:
            data = pl.when(remote).then(data.fill_null("")).otherwise(data)
        fd = pl.col("fd").is_not_null() if "fd" in has else pl.lit(False)
        size = data.str.len_bytes() // 2
        announced = pl.coalesce(pl.col("dlc").cast(pl.UInt32), size) if "dlc" in has else size
        # A remote frame announces a DLC and carries no payload.
        whole = ((size == announced) | (remote & (size == 0))) & ((size <= PAYLOAD_BYTES) | (fd & size.is_in(FD_SIZES)))
        label = pl.col("label").is_in(["1", "T"]) if "label" in has else pl.lit(False)
        return groups.select(
            timestamp=_time(has),
            arbitration_id=number,
            dlc=pl.when(whole).then(announced.cast(pl.UInt8)),
            payload=data.str.decode("hex", strict=False),
            label=label.cast(pl.UInt8),
            is_remote_frame=remote,
            is_extended_id=extended,
            is_fd=fd,
            channel=pl.col("channel") if "channel" in has else pl.lit(""),
            is_error_frame=error,
        ).with_columns(
            pl.when(pl.col("arbitration_id") <= MAX_EXTENDED_ID).then(pl.col("arbitration_id").cast(pl.UInt32, strict=False)),
            pl.when(pl.col("timestamp") <= MAX_TIMESTAMP).then(pl.col("timestamp")),  # none has a sign
        )


def _time(has: set[str]) -> pl.Expr:
    """Seconds; 0 where the format tells no time."""
    seconds = [pl.col("timestamp").cast(pl.Float64, strict=False)] if "timestamp" in has else []
    if "date" in has:
        date = pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
        seconds.append(date.dt.timestamp("us") / 1e6)
    return pl.coalesce(seconds) if seconds else pl.lit(0.0)


def _identifier(has: set[str]) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The number of the arbitration ID; whether it has 29 bits; whether it says that this is no frame but an error."""
    number = pl.col("id").str.strip_prefix("0x").str.strip_prefix("0X").str.to_integer(base=16, strict=False)
    if "extended_id" not in has:
        return number, number > MAX_STANDARD_ID, pl.lit(False)
    wide = pl.col("extended_id").str.to_integer(base=16, strict=False)
    error = (wide & ERROR_FLAG != 0).fill_null(False)
    return pl.coalesce(number, wide & ~pl.lit(ERROR_FLAG, pl.Int64)), wide.is_not_null(), error


def diagnose_time(time: str) -> str | None:
    """What is wrong with a timestamp; None if nothing is."""
    if not re.fullmatch(TIMESTAMP, time):
        return f"the timestamp is {time!r}; expected seconds, not negative, not NaN"
    if float(time) > MAX_TIMESTAMP:
        return f"the timestamp is {time!r}; expected seconds, at most {MAX_TIMESTAMP:.0f} (the year 2200), not milliseconds"
    return None


def diagnose_fields(time: str, identifier: str) -> str | None:
    """What is wrong with a timestamp or an arbitration ID; None if nothing is."""
    wrong = diagnose_time(time)
    if wrong:
        return wrong
    if not re.fullmatch(IDENTIFIER, identifier):
        return f"the arbitration ID is {identifier!r}; expected 1 to 8 hex digits"
    if int(identifier, 16) > MAX_EXTENDED_ID:
        return f"the arbitration ID is {identifier!r}; the highest is 1FFFFFFF (29 bits)"
    return None


def diagnose_payload(data: str) -> str:
    """What is wrong with a payload in hex digits that is no payload."""
    if not re.fullmatch(r"[0-9A-Fa-f]*", data):
        return f"the payload is {data!r}; expected hex digits"
    if len(data) % 2:
        return f"the payload {data!r} has an odd number of hex digits ({len(data)})"
    return f"the payload {data!r} has {len(data) // 2} bytes; a CAN frame carries at most 8"


def diagnose_bytes(data: list[str], dlc: str) -> str:
    """What is wrong with the bytes of a line, which are not as many hex bytes as its DLC says."""
    wrong = [byte for byte in data if not re.fullmatch("[0-9A-Fa-f]{2}", byte)]
    if wrong:
        return f"the payload byte is {wrong[0]!r}; expected two hex digits"
    return f"{len(data)} payload bytes, but the DLC is {dlc}"

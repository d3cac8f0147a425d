"""Text formats of recorded CAN traffic. A format is a regular expression for its lines and a way to read the groups.

Lines are matched and converted by polars in native code; Python looks only at the lines that do not match, to say why.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import MAX_EXTENDED_ID, MAX_STANDARD_ID, PAYLOAD_BYTES

TIMESTAMP = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
IDENTIFIER = r"(?:0[xX])?[0-9A-Fa-f]{1,8}"
BYTES = r"(?:[0-9A-Fa-f]{2}){0,8}"

ERROR_FLAG = 0x2000_0000  # SocketCAN's CAN_ERR_FLAG

# Columns that every reader's `parse` makes out of the groups; a null in one means that the line is not valid. A remote frame
# announces a DLC and carries no payload; `channel` names the bus, "" in formats that know only one.
COLUMNS = (
    "timestamp",
    "arbitration_id",
    "dlc",
    "payload",
    "label",
    "is_remote_frame",
    "is_extended_id",
    "is_fd",
    "channel",
)
Diagnosis = Callable[[str], str]


class Reader(NamedTuple):
    """One text format."""

    name: str
    line: str  # regular expression with named groups, for a whole line without its end
    header: str | None  # the first line, lower case without blanks, if the format has one
    example: str
    diagnose: Diagnosis  # line that does not match -> what is wrong with it

    @property
    def labelled(self) -> bool:
        """Whether its lines say which frames are of an attack."""
        return "(?P<label>" in self.line

    def parse(self, lines: pl.Series) -> pl.DataFrame:
        """Lines -> COLUMNS; a row with a null is a bad line."""
        groups = lines.str.extract_groups(self.line).struct.unnest()
        given = set(groups.columns)
        data = pl.col("data").str.replace_all(r"[,.\s]", "") if "fd" in given else pl.col("data").str.replace_all(r"[,\s]", "")
        label = pl.col("label").is_in(["1", "T"]) if "label" in given else pl.lit(False)
        remote = _said("remote", given) & (pl.col("remote") != "0") if "remote" in given else pl.lit(False)
        fd = _said("fd", given)
        data = pl.when(remote).then(data.fill_null("")).otherwise(data)
        size = data.str.len_bytes() // 2
        announced = pl.col("dlc").cast(pl.UInt32) if "dlc" in given else size
        if "dlc" in given and "fd" in given:  # candump's formats say it of some frames: of CAN FD with two digits
            of_fd = pl.col("fd").str.extract(r"^(\d\d)$").cast(pl.UInt32)
            announced = pl.coalesce(announced, of_fd, size)
        # A remote frame announces a DLC and carries no payload.
        whole = ((size == announced) | (remote & (size == 0))) & (fd | (announced <= PAYLOAD_BYTES))
        identifier = pl.col("id").str.strip_prefix("0x").str.strip_prefix("0X").str.to_integer(base=16, strict=False)
        extended = pl.col("id").str.len_bytes() > 3 if "channel" in given else identifier > MAX_STANDARD_ID
        frames = groups.select(
            timestamp=_time(given),
            arbitration_id=identifier,
            dlc=pl.when(whole).then(announced.cast(pl.UInt8)),
            payload=data.str.decode("hex", strict=False),
            label=label.cast(pl.UInt8),
            is_remote_frame=remote,
            is_extended_id=extended,
            is_fd=fd,
            channel=pl.col("channel") if "channel" in given else pl.lit(""),
        )
        return frames.with_columns(
            pl.when(pl.col("arbitration_id") <= MAX_EXTENDED_ID).then(pl.col("arbitration_id").cast(pl.UInt32, strict=False)),
            pl.when(pl.col("timestamp") <= MAX_TIMESTAMP).then(pl.col("timestamp")),  # none has a sign
        )


def _said(group: str, given: set[str]) -> pl.Expr:
    """Whether an optional group is in a line."""
    return pl.col(group).is_not_null() if group in given else pl.lit(False)


def _time(given: set[str]) -> pl.Expr:
    """Seconds: of the group `timestamp`, or of `date` in UTC; 0 in a format that has neither."""
    if "timestamp" not in given:
        return pl.lit(0.0)
    seconds = pl.col("timestamp").cast(pl.Float64, strict=False)
    if "date" not in given:
        return seconds
    date = pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    return pl.when(pl.col("date").is_not_null()).then(date.dt.epoch("us") / 1e6).otherwise(seconds)


def diagnose_fields(time: str, identifier: str) -> str | None:
    """What is wrong with a timestamp or an arbitration ID; None if nothing is."""
    if not re.fullmatch(TIMESTAMP, time):
        return f"the timestamp is {time!r}; expected seconds, not negative, not NaN"
    if float(time) > MAX_TIMESTAMP:
        return f"the timestamp is {time!r}; expected seconds, at most {MAX_TIMESTAMP:.0f} (the year 2200), not milliseconds"
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


def diagnose_candump_id(time: str, identifier: str) -> str | None:
    """What is wrong with a time or an arbitration ID that candump wrote; None if nothing is."""
    if re.fullmatch("[0-9A-Fa-f]{8}", identifier) and int(identifier, 16) & ERROR_FLAG:
        return "it is an error that the controller reports, and no frame"
    wrong = diagnose_fields(time, identifier)
    if wrong or re.fullmatch("[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8}", identifier):
        return wrong
    return f"the arbitration ID is {identifier!r}; expected 3 hex digits (11 bits) or 8 (29 bits)"


def diagnose_candump_payload(data: str, fd: bool) -> str:
    """What is wrong with a payload that candump wrote, of a classical frame or one of CAN FD."""
    digits = data.replace(".", "")
    if re.fullmatch("(?:[0-9A-Fa-f]{2})*", digits) and len(digits) <= 2 * (64 if fd else PAYLOAD_BYTES):
        return f"what follows the payload {digits!r} is not known"
    if fd and len(digits) > 128:
        return f"the payload has {len(digits) // 2} bytes; a CAN FD frame carries at most 64"
    return diagnose_payload(digits)

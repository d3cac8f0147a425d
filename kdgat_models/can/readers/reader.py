"""Text formats of recorded CAN traffic. A format is a regular expression for its lines and a way to read the groups.

Lines are matched and converted by polars in native code; Python looks only at the lines that do not match, to say why.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import MAX_EXTENDED_ID

TIMESTAMP = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
IDENTIFIER = r"(?:0[xX])?[0-9A-Fa-f]{1,8}"
BYTES = r"(?:[0-9A-Fa-f]{2}){0,8}"

# Columns that every reader's `columns` makes out of the groups: timestamp, arbitration_id, dlc, payload, label,
# is_remote_frame. A null means that the line is not valid.
Diagnosis = Callable[[str], str]


class Reader(NamedTuple):
    """One text format."""

    name: str
    line: str  # regular expression with named groups, for a whole line without its end
    header: str | None  # the first line, lower case without blanks, if the format has one
    example: str
    diagnose: Diagnosis  # line that does not match -> what is wrong with it

    def parse(self, lines: pl.Series) -> pl.DataFrame:
        """Lines -> columns timestamp, arbitration_id, dlc, payload, label, is_remote_frame; a null row is a bad line."""
        groups = lines.str.extract_groups(self.line).struct.unnest()
        data = pl.col("data").str.replace_all(r"[,\s]", "")
        label = pl.col("label").is_in(["1", "T"]) if "label" in groups.columns else pl.lit(False)
        remote = pl.col("remote") == "1" if "remote" in groups.columns else pl.lit(False)
        size = data.str.len_bytes() // 2
        announced = pl.col("dlc").cast(pl.UInt32) if "dlc" in groups.columns else size
        # A remote frame announces a DLC and carries no payload.
        whole = (size == announced) | (remote & (size == 0))
        frames = groups.select(
            timestamp=pl.col("timestamp").cast(pl.Float64, strict=False) if "timestamp" in groups.columns else pl.lit(0.0),
            arbitration_id=pl.col("id").str.strip_prefix("0x").str.strip_prefix("0X").str.to_integer(base=16, strict=False),
            dlc=pl.when(whole).then(announced.cast(pl.UInt8)),
            payload=data.str.decode("hex", strict=False),
            label=label.cast(pl.UInt8),
            is_remote_frame=remote,
        )
        return frames.with_columns(
            pl.when(pl.col("arbitration_id") <= MAX_EXTENDED_ID).then(pl.col("arbitration_id").cast(pl.UInt32, strict=False)),
            pl.when(pl.col("timestamp") <= MAX_TIMESTAMP).then(pl.col("timestamp")),  # none has a sign
        )


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

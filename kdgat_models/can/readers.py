"""Text formats of recorded CAN traffic. A format is a regular expression for its lines and a way to read the groups.

Lines are matched and converted by polars in native code; Python looks only at the lines that do not match, to say why.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import MAX_EXTENDED_ID
from kdgat_models.can.lines import BLANK

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


def _diagnose_fields(time: str, identifier: str) -> str | None:
    if not re.fullmatch(TIMESTAMP, time):
        return f"the timestamp is {time!r}; expected seconds, not negative, not NaN"
    if float(time) > MAX_TIMESTAMP:
        return f"the timestamp is {time!r}; expected seconds, at most {MAX_TIMESTAMP:.0f} (the year 2200), not milliseconds"
    if not re.fullmatch(IDENTIFIER, identifier):
        return f"the arbitration ID is {identifier!r}; expected 1 to 8 hex digits"
    if int(identifier, 16) > MAX_EXTENDED_ID:
        return f"the arbitration ID is {identifier!r}; the highest is 1FFFFFFF (29 bits)"
    return None


def _diagnose_payload(data: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]*", data):
        return f"the payload is {data!r}; expected hex digits"
    if len(data) % 2:
        return f"the payload {data!r} has an odd number of hex digits ({len(data)})"
    return f"the payload {data!r} has {len(data) // 2} bytes; a CAN frame carries at most 8"


def diagnose_four_column(line: str) -> str:
    """What is wrong with a line that is not `timestamp,arbitration_id,data_field,attack`."""
    fields = line.strip(BLANK).split(",")
    if len(fields) != 4:
        return f"{len(fields)} fields instead of 4 (timestamp,arbitration_id,data_field,attack)"
    time, identifier, data, label = fields
    wrong = _diagnose_fields(time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch(BYTES, data.strip()):
        return _diagnose_payload(data.strip())
    return f"the label is {label!r}; expected 0 or 1"


def diagnose_untimed(line: str) -> str:
    """What is wrong with a line that is not `arbitration_id,data_field,attack`."""
    fields = line.strip(BLANK).split(",")
    if len(fields) != 3:
        return f"{len(fields)} fields instead of 3 (arbitration_id,data_field,attack)"
    return diagnose_four_column(f"0,{line.strip(BLANK)}")


def diagnose_hcrl_csv(line: str) -> str:
    """What is wrong with a line that is not `timestamp,ID,DLC,bytes...,R|T`."""
    fields = line.strip(BLANK).split(",")
    if len(fields) < 4:
        return f"{len(fields)} fields; expected at least timestamp,ID,DLC,flag"
    time, identifier, dlc, *data, label = fields
    wrong = _diagnose_fields(time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch("[0-8]", dlc):
        return f"the DLC is {dlc!r}; expected 0 to 8"
    if label not in ("R", "T"):
        return f"the flag is {label!r}; expected R (regular) or T (injected) at the end of the line"
    return _diagnose_bytes(data, dlc)


def diagnose_hcrl_text(line: str) -> str:
    """What is wrong with a line that is not `Timestamp: t ID: id flags DLC: n bytes...`."""
    match = re.fullmatch(r"Timestamp:\s*(\S+)\s+ID:\s*(\S+)\s+(\S+)\s+DLC:\s*(\S+)\s*(.*)", line.strip(BLANK))
    if not match:
        return "expected 'Timestamp: seconds ID: hex 000 DLC: n bytes'"
    time, identifier, flags, dlc, data = match.groups()
    wrong = _diagnose_fields(time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch("[01]{3}", flags):
        return f"the flags are {flags!r}; expected 000, or 100 for a remote frame"
    if not re.fullmatch("[0-8]", dlc):
        return f"the DLC is {dlc!r}; expected 0 to 8"
    return _diagnose_bytes(data.split(), dlc)


def _diagnose_bytes(data: list[str], dlc: str) -> str:
    wrong = [byte for byte in data if not re.fullmatch("[0-9A-Fa-f]{2}", byte)]
    if wrong:
        return f"the payload byte is {wrong[0]!r}; expected two hex digits"
    return f"{len(data)} payload bytes, but the DLC is {dlc}"


FOUR_COLUMN_CSV = Reader(
    name="four_column_csv",
    line=rf"^(?P<timestamp>{TIMESTAMP}),(?P<id>{IDENTIFIER}),(?P<data>\s*{BYTES}\s*),(?P<label>[01])\s*$",
    header="timestamp,arbitration_id,data_field,attack",
    example="1513920167.161964,081,40844E00000000A4,0",
    diagnose=diagnose_four_column,
)
# Some published captures tell no time. All their frames get the timestamp 0, and what needs a clock does without.
UNTIMED_CSV = Reader(
    name="untimed_csv",
    line=rf"^(?P<id>{IDENTIFIER}),(?P<data>\s*{BYTES}\s*),(?P<label>[01])\s*$",
    header="arbitration_id,data_field,attack",
    example="081,40844E00000000A4,0",
    diagnose=diagnose_untimed,
)
HCRL_CSV = Reader(
    name="hcrl_csv",
    line=rf"^(?P<timestamp>{TIMESTAMP}),(?P<id>{IDENTIFIER}),(?P<dlc>[0-8])(?P<data>(?:,[0-9A-Fa-f]{{2}}){{0,8}}),(?P<label>[RT])\s*$",
    header=None,
    example="1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R",
    diagnose=diagnose_hcrl_csv,
)
HCRL_TEXT = Reader(
    name="hcrl_text",
    line=rf"^Timestamp:\s*(?P<timestamp>{TIMESTAMP})\s+ID:\s*(?P<id>{IDENTIFIER})\s+(?P<remote>[01])[01]{{2}}"
    rf"\s+DLC:\s*(?P<dlc>[0-8])(?P<data>(?:\s+[0-9A-Fa-f]{{2}}){{0,8}})\s*$",
    header=None,
    example="Timestamp: 1479121434.850202        ID: 0316    000    DLC: 8    05 20 ea 0a 20 1a 00 7f",
    diagnose=diagnose_hcrl_text,
)

READERS: dict[str, Reader] = {reader.name: reader for reader in (FOUR_COLUMN_CSV, UNTIMED_CSV, HCRL_CSV, HCRL_TEXT)}

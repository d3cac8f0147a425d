"""The CSV of time, ID, payload and label: `1513920167.161964,081,40844E00000000A4,0`."""

import re

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.reader import BYTES, IDENTIFIER, TIMESTAMP, Reader, diagnose_fields, diagnose_payload


def diagnose_four_column(line: str) -> str:
    """What is wrong with a line that is not `timestamp,arbitration_id,data_field,attack`."""
    fields = line.strip(BLANK).split(",")
    if len(fields) != 4:
        return f"{len(fields)} fields instead of 4 (timestamp,arbitration_id,data_field,attack)"
    time, identifier, data, label = fields
    wrong = diagnose_fields(time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch(BYTES, data.strip()):
        return diagnose_payload(data.strip())
    return f"the label is {label!r}; expected 0 or 1"


FOUR_COLUMN_CSV = Reader(
    name="four_column_csv",
    line=rf"^(?P<timestamp>{TIMESTAMP}),(?P<id>{IDENTIFIER}),(?P<data>\s*{BYTES}\s*),(?P<label>[01])\s*$",
    header="timestamp,arbitration_id,data_field,attack",
    example="1513920167.161964,081,40844E00000000A4,0",
    diagnose=diagnose_four_column,
)

"""The CSV of the HCRL car hacking datasets: `1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R`."""

import re

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.reader import IDENTIFIER, TIMESTAMP, Reader, diagnose_bytes, diagnose_fields


def diagnose_hcrl_csv(line: str) -> str:
    """What is wrong with a line that is not `timestamp,ID,DLC,bytes...,R|T`."""
    fields = line.strip(BLANK).split(",")
    if len(fields) < 4:
        return f"{len(fields)} fields; expected at least timestamp,ID,DLC,flag"
    time, identifier, dlc, *data, label = fields
    wrong = diagnose_fields(time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch("[0-8]", dlc):
        return f"the DLC is {dlc!r}; expected 0 to 8"
    if label not in ("R", "T"):
        return f"the flag is {label!r}; expected R (regular) or T (injected) at the end of the line"
    return diagnose_bytes(data, dlc)


HCRL_CSV = Reader(
    name="hcrl_csv",
    line=rf"^(?P<timestamp>{TIMESTAMP}),(?P<id>{IDENTIFIER}),(?P<dlc>[0-8])(?P<data>(?:,[0-9A-Fa-f]{{2}}){{0,8}}),(?P<label>[RT])\s*$",
    header=None,
    example="1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R",
    diagnose=diagnose_hcrl_csv,
)

"""The text of the HCRL's attack-free recordings: `Timestamp: 1479121434.850202  ID: 0316  000  DLC: 8  05 20 ...`."""

import re

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.reader import IDENTIFIER, TIMESTAMP, Reader, diagnose_bytes, diagnose_fields


def diagnose_hcrl_text(line: str) -> str:
    """What is wrong with a line that is not `Timestamp: t ID: id flags DLC: n bytes...`."""
    match = re.fullmatch(r"Timestamp:\s*(\S+)\s+ID:\s*(\S+)\s+(\S+)\s+DLC:\s*(\S+)\s*(.*)", line.strip(BLANK))
    if not match:
        return "expected 'Timestamp: seconds ID: hex 000 DLC: n bytes'"
    time, identifier, flags, dlc, data = match.groups()
    wrong = diagnose_fields(time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch("[01]{3}", flags):
        return f"the flags are {flags!r}; expected 000, or 100 for a remote frame"
    if not re.fullmatch("[0-8]", dlc):
        return f"the DLC is {dlc!r}; expected 0 to 8"
    return diagnose_bytes(data.split(), dlc)


HCRL_TEXT = Reader(
    name="hcrl_text",
    line=rf"^Timestamp:\s*(?P<timestamp>{TIMESTAMP})\s+ID:\s*(?P<id>{IDENTIFIER})\s+(?P<remote>[01])[01]{{2}}"
    rf"\s+DLC:\s*(?P<dlc>[0-8])(?P<data>(?:\s+[0-9A-Fa-f]{{2}}){{0,8}})\s*$",
    header=None,
    example="Timestamp: 1479121434.850202        ID: 0316    000    DLC: 8    05 20 ea 0a 20 1a 00 7f",
    diagnose=diagnose_hcrl_text,
)

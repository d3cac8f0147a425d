"""What `candump` shows on the screen with `-ta`, `-tA`, `-tz` or `-td`: `(1436509052.249713)  can0  044   [2]  2A 36`."""

import re

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.reader import (
    TIMESTAMP,
    Reader,
    diagnose_candump_id,
    diagnose_candump_payload,
)


def diagnose_candump_text(line: str) -> str:
    """What is wrong with a line that is not `(seconds)  interface  ID  [DLC]  bytes`."""
    match = re.fullmatch(r"\(([^)]*)\)\s+(\S+)\s+(\S+)\s+\[([^\]]*)\]\s*(.*)", line.strip(BLANK))
    if not match:
        if re.match(r"\S+\s+[0-9A-Fa-f]+\s+\[", line.strip(BLANK)):
            return "it has no time; record with candump -L, or show times with -ta"
        return "expected '(seconds)  interface  ID  [DLC]  bytes'"
    time, _, identifier, dlc, data = match.groups()
    wrong = diagnose_candump_id("0" if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time) else time, identifier)
    if wrong:
        return wrong
    if not re.fullmatch("[0-9]{1,2}", dlc) or int(dlc) > 64:
        return f"the DLC is {dlc!r}; expected 0 to 8, or two digits up to 64 for CAN FD"
    payload = re.sub(r"\s", "", re.sub(r"\s+\'.*$", "", data))
    if re.fullmatch("(?:[0-9A-Fa-f]{2})*", payload) and len(payload) // 2 != int(dlc):
        return f"{len(payload) // 2} payload bytes, but the DLC is {dlc}"
    return diagnose_candump_payload(payload, len(dlc) == 2)


CANDUMP_TEXT = Reader(
    name="candump_text",
    line=rf"^\s*\((?:(?P<timestamp>{TIMESTAMP})|(?P<date>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?))\)\s+(?P<channel>\S+)\s+"
    r"(?:[TR]X\s+[-B]\s+[-E]\s+)?(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+\[(?:(?P<dlc>\d)|(?P<fd>\d\d))\]"
    r"(?:\s+(?P<remote>remote request)|(?P<data>(?:\s+[0-9A-Fa-f]{2}){0,64}))(?:\s+\'.*)?\s*$",
    header=None,
    example="(1436509052.249713)  can0  044   [5]  2A 36 6C 2B BA",
    diagnose=diagnose_candump_text,
)

"""The log of candump -L (or -l): `(1436509052.249713) can0 044#2A366C2BBA`.

`123##1AABB` is a frame of CAN FD, with its flags in one digit; `123#R8` is a remote frame; an ID of eight digits has 29 bits,
or says by the flag 0x20000000 that this is an error frame. R or T at the end: the frame was received or transmitted.
"""

import re

from kdgat_models.can.frames import FD_SIZES
from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.reader import TIMESTAMP, Reader, diagnose_payload, diagnose_time

CHANNEL = r"[^\s#]+"
STANDARD = "[0-7][0-9A-Fa-f]{2}"
EXTENDED = "[0-3][0-9A-Fa-f]{7}"  # with room for the flag of error frames


def diagnose_candump_log(line: str) -> str:
    """What is wrong with a line that is not `(time) channel ID#data`."""
    found = re.fullmatch(r"\((\S*)\)\s+([^\s#]+)\s+([^\s#]*)#(\S*)(\s+[RTrt])?", line.strip(BLANK))
    if not found:
        return "expected '(seconds) channel ID#data'"
    time, _, identifier, data, _ = found.groups()
    return diagnose_time(time) or diagnose_identifier(identifier) or _diagnose_data(data)


def diagnose_identifier(identifier: str) -> str | None:
    """What is wrong with an arbitration ID as candump writes it; None if nothing is."""
    if re.fullmatch(f"{STANDARD}|{EXTENDED}", identifier):
        return None
    return (
        f"the arbitration ID is {identifier!r}; expected 3 hex digits (11 bits, at most 7FF) or 8 (29 bits, at most 1FFFFFFF; "
        "with 20000000: an error frame)"
    )


def diagnose_fd(data: str) -> str:
    """What is wrong with the hex digits of a payload of CAN FD."""
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", data):
        return f"the payload has {len(data) // 2} bytes; a CAN FD frame carries one of {', '.join(map(str, FD_SIZES))}"
    return diagnose_payload(data)


def _diagnose_data(data: str) -> str:
    if data.startswith("R"):
        return f"a remote frame ends with {data!r}; expected R, or R with a DLC of 0 to 8"
    if not data.startswith("#"):
        return diagnose_payload(data)
    if not re.fullmatch("#[0-9A-Fa-f].*", data):
        return "a CAN FD frame has no flags; expected one hex digit after ##"
    return diagnose_fd(data[2:])


CANDUMP_LOG = Reader(
    name="candump_log",
    line=rf"^\((?P<timestamp>{TIMESTAMP})\)\s+(?P<channel>{CHANNEL})\s+(?:(?P<id>{STANDARD})|(?P<extended_id>{EXTENDED}))#"
    r"(?:(?P<remote>R)(?P<dlc>[0-8])?|(?P<fd>#[0-9A-Fa-f]))?(?P<data>(?:[0-9A-Fa-f]{2}\.?){0,64})(?:_[9A-Fa-f])?(?:\s+[RTrt])?\s*$",
    header=None,
    example="(1436509052.249713) can0 044#2A366C2BBA",
    diagnose=diagnose_candump_log,
    needs_line_end=True,
)

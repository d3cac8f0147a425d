"""What `candump -L` and `-l` write: `(1436509052.249713) can0 044#2A366C2BBA`, CAN FD with two `#`, remote frames with `#R`."""

import re

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.reader import (
    TIMESTAMP,
    Reader,
    diagnose_candump_id,
    diagnose_candump_payload,
)


def diagnose_candump_log(line: str) -> str:
    """What is wrong with a line that is not `(seconds) interface ID#payload`."""
    match = re.fullmatch(r"\((\S*)\)\s+(\S+)\s+([^#\s]*)#(#?)(\S*)(?:\s+\S+)?", line.strip(BLANK))
    if not match:
        return "expected '(seconds) interface ID#payload'"
    time, _, identifier, fd, data = match.groups()
    wrong = diagnose_candump_id(time, identifier)
    if wrong:
        return wrong
    if not fd and re.match("R", data):
        return f"the remote frame is {data!r}; expected R or R0 to R8"
    if fd and not re.match("[0-9A-Fa-f]", data):
        return f"the flags of the CAN FD frame are missing in {data!r}; expected a hex digit after ##"
    return diagnose_candump_payload(data[1:] if fd else data, bool(fd))


CANDUMP_LOG = Reader(
    name="candump_log",
    line=rf"^\((?P<timestamp>{TIMESTAMP})\)\s+(?P<channel>\S+)\s+(?P<id>[0-9A-Fa-f]{{3}}|[0-9A-Fa-f]{{8}})#"
    r"(?:(?P<remote>R)(?P<dlc>[0-8])?|(?P<fd>#[0-9A-Fa-f])?(?P<data>(?:[0-9A-Fa-f]{2}\.?){0,64}))"
    r"(?:_[9A-Fa-f])?(?:\s+[RT])?\s*$",
    header=None,
    example="(1436509052.249713) can0 044#2A366C2BBA",
    diagnose=diagnose_candump_log,
)

"""What `candump` shows on the screen with `-ta`, `-tA`, `-tz` or `-td`: `(1436509052.249713)  can0  044   [2]  2A 36`.

The length of a frame of CAN FD has two digits. `-tA` shows local time without its zone, which is taken for UTC. `-tz` counts
from the first frame, `-td` from frame to frame: that is told by the first times, and made one clock that begins at 0.
"""

import re
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.candump_log import CHANNEL, EXTENDED, STANDARD, diagnose_fd, diagnose_identifier
from kdgat_models.can.readers.format import Rows
from kdgat_models.can.readers.reader import TIMESTAMP, Reader, diagnose_payload, diagnose_time

DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?"
UNTIMED = r"[^\s#]+\s+[0-9A-Fa-f]{3,8}\s+\[[0-9]{1,2}\]"
WITHOUT_TIME = "it has no time; record with candump -L, or show times with -ta"
DECIDING = 64  # frames by which times are told from differences of times
ABSOLUTE_S = 1e8  # Unix time is later, what is counted from the first frame is not


def diagnose_candump_text(line: str) -> str:
    """What is wrong with a line that is not `(time)  channel  ID  [DLC]  bytes`."""
    shown = line.strip(BLANK)
    match = re.fullmatch(r"\(([^)]*)\)\s+(\S+)\s+(?:[TR]X\s+\S\s+\S\s+)?(\S+)\s+\[([^\]]*)\]\s*(.*)", shown)
    if not match:
        if re.match(UNTIMED, shown):
            return WITHOUT_TIME
        return "expected '(seconds)  channel  ID  [DLC]  bytes'"
    time, _, identifier, dlc, data = match.groups()
    wrong = (
        diagnose_identifier(identifier) if re.fullmatch(DATE, time) else diagnose_time(time) or diagnose_identifier(identifier)
    )
    if wrong:
        return wrong
    if not re.fullmatch("[0-8]|[0-9]{2}", dlc):
        return f"the DLC is {dlc!r}; expected 0 to 8, or two digits for CAN FD"
    payload = re.sub(r"\s", "", re.sub(r"\s+'.*$", "", data))
    if re.fullmatch("(?:[0-9A-Fa-f]{2})*", payload) and len(payload) // 2 != int(dlc):
        return f"{len(payload) // 2} payload bytes, but the DLC is {dlc}"
    return diagnose_fd(payload) if len(dlc) == 2 else diagnose_payload(payload)


def one_clock(parts: Iterator[Rows]) -> Iterator[Rows]:
    """The same rows, in which differences of times (`candump -td`) are summed up; the same however they are cut into parts."""
    held: list[Rows] = []
    summed: bool | None = None
    passed = 0  # microseconds: their sum is exact
    for part in parts:
        held.append(part)
        if summed is None:
            times = _first_times(held)
            summed = _are_differences(times) if len(times) == DECIDING or (len(times) and times[0] >= ABSOLUTE_S) else None
        if summed is not None:
            for rows in held:
                made, passed = _summed(rows, passed) if summed else (rows, passed)
                yield made
            held = []
    summed = bool(held) and _are_differences(_first_times(held))
    for rows in held:
        made, passed = _summed(rows, passed) if summed else (rows, passed)
        yield made


def _first_times(parts: list[Rows]) -> NDArray[np.float64]:
    return pl.concat([part.frames["timestamp"].drop_nulls().head(DECIDING) for part in parts]).head(DECIDING).to_numpy()


def _are_differences(times: NDArray[np.float64]) -> bool:
    """A clock seldom goes back; differences go down as often as up, or are all the same. The first is 0 in either case."""
    if len(times) < 3 or times[0] >= ABSOLUTE_S:
        return False
    steps = np.diff(times[1:])
    return bool((steps < 0).mean() >= 0.25 or (steps <= 0).mean() >= 0.75)


def _summed(rows: Rows, passed: int) -> tuple[Rows, int]:
    times = rows.frames["timestamp"]
    total = passed + (times.fill_null(0.0) * 1e6).round().cast(pl.Int64).cum_sum()
    passed = int(total[-1]) if len(total) else passed
    clock = pl.when(times.is_not_null()).then(total / 1e6)
    return rows._replace(frames=rows.frames.with_columns(timestamp=clock)), passed


CANDUMP_TEXT = Reader(
    name="candump_text",
    line=rf"^\s*\((?:(?P<timestamp>{TIMESTAMP})|(?P<date>{DATE}))\)\s+(?P<channel>{CHANNEL})\s+(?:[TR]X\s+[-B]\s+[-E]\s+)?"
    rf"(?:(?P<id>{STANDARD})|(?P<extended_id>{EXTENDED}))\s+\[(?P<dlc>[0-8]|(?P<fd>[0-9]{{2}}))\]"
    r"(?:\s+(?P<remote>remote request)|(?P<data>(?:\s+[0-9A-Fa-f]{2}){0,64}))(?:\s+'.*|\s+ERRORFRAME)?\s*$",
    header=None,
    example="(1436509052.249713)  can0  044   [5]  2A 36 6C 2B BA",
    diagnose=diagnose_candump_text,
    needs_line_end=True,
    retimed=one_clock,
    near=(UNTIMED, WITHOUT_TIME),
)

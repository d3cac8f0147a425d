"""Which frames of a recording are in the order of time, decided as they come, with a bounded look-ahead.

Kept frames never step back by more than `MAX_STEP_BACK_S` from the latest that was kept. Where frames contradict each other,
one of them is wrong, and what follows tells which: a frame is *ahead*, and is rejected, if more of the frames in its look-ahead
can be kept without it than with it, itself counted. If it makes no difference, the earlier one stays, unless it is more than
`FAR_S` after the latest one that was kept. All others that step back are *behind*, and are rejected. So

    1, 1e9, 2, 3    1e9 is ahead of all that follow
    1, 2, 0.5, 3    0.5 is behind
    1, 2, 1e9, 1e9 + 1, ...   a clock that is set forwards for good: all are kept
    1, 2, ..., 100, 1, 2, ... a clock that is set back for good: all are behind until it is past 100 again

The look-ahead is counted in frames and lines of the file, so that no verdict depends on where the file was cut for reading.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

# Real recorders step back by up to 1 ms inside injected bursts; the second term is the rounding of epoch seconds.
MAX_STEP_BACK_S = 1e-3 + 1e-6
FAR_S = 60.0
LOOK_AHEAD_FRAMES = 64
LOOK_AHEAD_LINES = 4096  # bad rows among the frames must not hold them back for ever
KEPT, AHEAD, BEHIND = 0, 1, 2


class Decided(NamedTuple):
    """Verdicts on the first d frames; those after them need more of the file."""

    verdict: NDArray[np.uint8]  # [d]; KEPT, AHEAD or BEHIND
    against: NDArray[np.float64]  # [d], s; the time that contradicts a rejected frame
    latest: float  # s; of the frames that were kept so far, -inf if there is none


def decide(time: NDArray[np.float64], line: NDArray[np.int64], latest: float, lines_read: int) -> Decided:
    """Decide on all frames whose look-ahead has been read.

    Args:
        time: [n], s, finite, of the frames that are not yet decided, in the order of the file.
        line: [n], number of the line that each stands in, ascending.
        latest: Of the frames that were kept before.
        lines_read: Number of the last line that has been read; beyond any other at the end of the file.
    """
    return Decided(*_decide(time, line, latest, lines_read))


@numba.njit(cache=True, nogil=True)
def _decide(
    time: NDArray[np.float64], line: NDArray[np.int64], latest: float, lines_read: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64], float]:
    """See `decide`."""
    n = len(time)
    verdict, against = np.zeros(n, np.uint8), np.zeros(n)
    lowest = np.full(n + 1, np.inf)  # of this frame and all after it
    for i in range(n - 1, -1, -1):
        lowest[i] = min(lowest[i + 1], time[i])
    end = 0  # of the look-ahead
    for i in range(n):
        while end < n and end <= i + LOOK_AHEAD_FRAMES and line[end] <= line[i] + LOOK_AHEAD_LINES:
            end += 1
        if end <= i + LOOK_AHEAD_FRAMES and lines_read < line[i] + LOOK_AHEAD_LINES:
            return verdict[:i], against[:i], latest
        if time[i] < latest - MAX_STEP_BACK_S:
            verdict[i], against[i] = BEHIND, latest
        elif lowest[i + 1] < time[i] - MAX_STEP_BACK_S and _is_ahead(time[i], time[i + 1 : end], latest):
            verdict[i], against[i] = AHEAD, time[i + 1 : end].min()
        else:
            latest = max(latest, time[i])
    return verdict, against, latest


@numba.njit(cache=True, nogil=True)
def _is_ahead(time: float, following: NDArray[np.float64], latest: float) -> bool:
    """Whether more of `following` can be kept without the frame at `time` than with it."""
    if len(following) == 0 or following.min() >= time - MAX_STEP_BACK_S:
        return False
    gain = _most_kept(following, latest) - _most_kept(following, time) - 1
    return gain > 0 or (gain == 0 and time - latest > FAR_S and latest > -np.inf)


@numba.njit(cache=True, nogil=True)
def _most_kept(time: NDArray[np.float64], latest: float) -> int:
    """How many of the frames at `time` can be kept at most, if none steps back from `latest` or from one another."""
    # kept[s]: the most that can be kept so far with the latest of them at ends[s]
    kept, ends = np.zeros(len(time) + 1, np.int64), np.empty(len(time) + 1)
    ends[0], states = latest, 1
    for t in time:
        before = -1
        for s in range(states):
            if ends[s] <= t:
                before = max(before, kept[s])
            elif ends[s] <= t + MAX_STEP_BACK_S:
                kept[s] += 1
        if before >= 0:
            kept[states], ends[states] = before + 1, t
            states += 1
    return kept[:states].max()

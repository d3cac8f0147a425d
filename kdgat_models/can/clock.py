"""The clock of a capture: what timestamps may be, and whether they tell time at all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TIMESTAMP = 7_258_118_400.0  # s; as Unix time, the first second of 2200
FRAMES_PER_SECOND = 2000.0  # of a busy 500 kbit/s bus; stands in for time in a capture that tells none


def tells_time(timestamps: NDArray[np.floating[Any]]) -> bool:
    """Whether the timestamps [n] of a capture tell time: all of them are finite, and not all are equal.

    Some published captures have none, or a constant; there, frames are counted instead (`FRAMES_PER_SECOND`).
    """
    return bool(len(timestamps) and np.isfinite(timestamps).all() and np.max(timestamps) > np.min(timestamps))


def frame_clock(
    timestamps: NDArray[np.floating[Any]], frames_per_second: float = FRAMES_PER_SECOND
) -> tuple[NDArray[np.float64], bool]:
    """A time for each frame [n] that never decreases, in s, and whether it is real or counts frames.

    A recorder's small steps back are levelled: the order on the bus counts.
    """
    if tells_time(timestamps):
        return np.maximum.accumulate(np.asarray(timestamps, np.float64)), True
    return np.arange(len(timestamps)) / frames_per_second, False

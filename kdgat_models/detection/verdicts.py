"""What a detector says of the windows of a capture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOBODY = -1  # no arbitration ID


class Verdicts(NamedTuple):
    """Of the next G windows of a capture, in time order."""

    first_frame: NDArray[np.int64]  # [G], within the capture
    start_time: NDArray[np.float64]  # [G], s, of the first frame
    end_time: NDArray[np.float64]  # [G], s, of the last frame
    score: NDArray[np.float64]  # [G]; of a classifier, log-odds of "attack"
    threshold: NDArray[np.float64]  # [G]; from this score on a window is an attack
    suspect: NDArray[np.int64]  # [G], arbitration ID that is most likely the attacker's, or NOBODY
    label: NDArray[np.uint8]  # [G], 1 if a frame of the window is labelled as of an attack

    @property
    def attack(self) -> NDArray[np.bool_]:
        """[G], whether a window is called an attack."""
        return self.score >= self.threshold

    @property
    def windows(self) -> int:
        """Number of windows G."""
        return len(self.score)


def no_verdicts() -> Verdicts:
    """Of no window."""
    none = np.zeros(0)
    whole = np.zeros(0, np.int64)
    return Verdicts(whole, none, none, none, none, whole, np.zeros(0, np.uint8))


def joined_verdicts(parts: Sequence[Verdicts]) -> Verdicts:
    """Verdicts on windows that follow each other, as one."""
    return Verdicts._make(np.concatenate(columns) for columns in zip(*(no_verdicts(), *parts), strict=True))

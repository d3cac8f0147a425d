"""Unsupervised adaptation: the threshold of a vehicle that the detector has never seen. No label of the target is used.

Scores of normal windows lie higher on a restless bus than on those of the training. What is moved is the threshold, by as
much as the upper end of the target's normal scores exceeds that of the training vehicles; never down, because quiet traffic
in the first minutes is no promise. The upper end is the 99th percentile: a hundred windows are enough to tell it. A lower
one would mind missed attacks less in an unlabelled capture, but the bulk of normal scores lies elsewhere on every vehicle
without its upper end doing so: thresholds that followed the 90th percentile missed far more.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

UPPER_QUANTILE = 0.99  # quantile of normal scores that is brought to the same distance from the threshold
MINIMUM_WINDOWS = 100  # windows that tell it
ATTACKED_SHARE = 0.2  # share of flagged windows from which traffic is no calibration data


class Source(NamedTuple):
    """What is known of the training vehicles, from their calibration windows."""

    threshold: float
    upper: float  # quantile UPPER_QUANTILE of their normal scores

    @classmethod
    def of(cls, threshold: float, normal: Scores) -> "Source":
        """From the training's threshold and the scores [n] of the training vehicles' normal calibration windows."""
        return cls(threshold, float(np.quantile(normal, UPPER_QUANTILE)))


class Adaptation(NamedTuple):
    """Thresholds for the windows of a capture; where a window is not calibrated, it is the training's."""

    thresholds: Scores  # [windows]
    calibrated: NDArray[np.bool_]  # [windows]
    reason: str  # why none is calibrated; "" if any is


def from_normal(source: Source, normal: Scores, windows: int) -> Adaptation:
    """Adapt a capture of `windows` windows by some minutes of the vehicle's normal traffic: scores [n] of their windows."""
    looks_wrong = _not_calibration_data(source, normal)
    if looks_wrong:
        return Adaptation(np.full(windows, source.threshold), np.zeros(windows, bool), looks_wrong)
    threshold = _moved(source, float(np.quantile(normal, UPPER_QUANTILE)))
    return Adaptation(np.full(windows, threshold), np.ones(windows, bool), "")


def from_capture(source: Source, scores: Scores, warm_up: int = MINIMUM_WINDOWS) -> Adaptation:
    """Adapt by the robust bulk of the unlabelled capture so far: `scores` [windows] in time order.

    The threshold of a window follows from the windows before it that were below the training's threshold, and changes when
    their number has doubled. A warm-up of which a fifth is flagged looks attacked: then nothing is calibrated.
    """
    thresholds, calibrated = np.full(len(scores), source.threshold), np.zeros(len(scores), bool)
    looks_wrong = _not_calibration_data(source, scores[:warm_up])
    if looks_wrong:
        return Adaptation(thresholds, calibrated, looks_wrong)
    begin = warm_up
    while begin < len(scores):
        so_far = scores[:begin]
        bulk = so_far[so_far < source.threshold]
        thresholds[begin:], calibrated[begin:] = _moved(source, float(np.quantile(bulk, UPPER_QUANTILE))), True
        begin *= 2
    return Adaptation(thresholds, calibrated, "" if calibrated.any() else f"no window after the warm-up of {warm_up}")


def _moved(source: Source, upper: float) -> float:
    return source.threshold + max(upper - source.upper, 0.0)


def _not_calibration_data(source: Source, scores: Scores) -> str:
    if len(scores) < MINIMUM_WINDOWS:
        return f"{len(scores)} windows are too few to calibrate on; it takes {MINIMUM_WINDOWS}"
    flagged = float((scores >= source.threshold).mean())
    return f"the warm-up looks attacked: {flagged:.0%} of its windows are flagged" if flagged > ATTACKED_SHARE else ""

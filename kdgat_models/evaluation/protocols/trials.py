"""Scores of the detectors of one fold and seed, on disk: thresholds, adaptation and figures are made of them later.

`scores.npz` has the scores, `windows.npz` says of which windows they are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.npz import read_npz, write_npz

SCORES, WINDOWS = "scores.npz", "windows.npz"
PUBLISHED_LABELS = "reference_calibration_labels"  # of the graphs of the published method

Scores = NDArray[np.float64]


class TwoSides(NamedTuple):
    """Scores of one detector: on the windows that thresholds are chosen on, and on those of the test captures."""

    calibration: Scores
    test: Scores


class ScoredFold(NamedTuple):
    """The G windows of the test captures of a fold, and the scores of each detector."""

    calibration_labels: NDArray[np.integer]  # [calibration windows], 1 is an attack
    test: NDArray[np.int64]  # [G], rows in the store; those of a capture together and in time order
    labels: NDArray[np.integer]  # [G]
    captures: NDArray[np.integer]  # [G], number of the capture in the store
    first_frame: NDArray[np.int64]  # [G], within the capture
    scores: dict[str, TwoSides]  # by detector
    published_labels: NDArray[np.integer] | None = None  # those of the calibration windows of the published method


def save_scores(folder: Path, scored: ScoredFold) -> Path:
    """Write `scores.npz` and `windows.npz`; return the path of the scores, whose content identifies the trial."""
    flat = {f"{name}.{side}": values for name, of in scored.scores.items() for side, values in of._asdict().items()}
    if scored.published_labels is not None:
        flat[PUBLISHED_LABELS] = scored.published_labels.astype(np.float64)
    write_npz(folder / SCORES, **flat)
    write_npz(
        folder / WINDOWS,
        calibration_labels=scored.calibration_labels,
        test=scored.test,
        labels=scored.labels,
        captures=scored.captures,
        first_frame=scored.first_frame,
    )
    return folder / SCORES


def load_scores(folder: Path) -> ScoredFold:
    """What `save_scores` wrote.

    Raises:
        CheckpointError: a file is missing, torn or altered, or lacks an array.
    """
    about, flat = read_npz(folder / WINDOWS), read_npz(folder / SCORES)
    names = [name.removesuffix(".test") for name in flat if name.endswith(".test")]
    return ScoredFold(
        about["calibration_labels"],
        about["test"],
        about["labels"],
        about["captures"],
        about["first_frame"],
        {name: TwoSides(flat[f"{name}.calibration"], flat[f"{name}.test"]) for name in names},
        flat[PUBLISHED_LABELS].astype(np.int64) if PUBLISHED_LABELS in flat else None,
    )

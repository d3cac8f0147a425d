"""Detectors -> their scores on the windows of a fold: those that thresholds are chosen on, and those of the test captures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kdgat_models.evaluation.baselines import UNTRAINED, Boosting
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.protocols.survey import read_untrained
from kdgat_models.evaluation.protocols.trials import TwoSides
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.fold import FoldRecord, read_fold
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.graphs.vocabulary import Vocabulary

Scores = NDArray[np.float64]
Windows = NDArray[np.int64]


class FoldWindows(NamedTuple):
    """The windows of a fold on which scores are wanted, as rows of its store."""

    dataset: GraphDataset
    fold: FoldRecord
    calibration: Windows
    test: Windows

    @classmethod
    def of(cls, dataset: GraphDataset) -> Self:
        """Of the graphs of a fold.

        Raises:
            CheckpointError: these are the graphs of a dataset, not of a fold.
        """
        fold = read_fold(dataset.folder)
        return cls(dataset, fold, calibration_windows(dataset.train), dataset.train.windows_of(fold.test))

    @property
    def store(self) -> GraphStore:
        """Of all captures, those of the test among them."""
        return self.dataset.train

    @property
    def calibration_labels(self) -> NDArray[np.uint8]:
        """[calibration windows], 1 is an attack."""
        return self.store.label[self.calibration]

    @property
    def test_labels(self) -> NDArray[np.uint8]:
        """[test windows], 1 is an attack."""
        return self.store.label[self.test]


def model_scores(windows: FoldWindows, vocabulary: Vocabulary, scores_of: Callable[[GraphData, Windows], Scores]) -> TwoSides:
    """Scores of trained models, which see IDs through the vocabulary of their training.

    Args:
        windows: Of the fold.
        vocabulary: Of the models.
        scores_of: Graphs and rows of windows -> scores [windows], such as `Detector.window_scores`.

    Raises:
        NonFiniteError: a model gives a score that is not finite.
    """
    data = windows.dataset.seen_through(vocabulary)
    return TwoSides(scores_of(data, windows.calibration), scores_of(data, windows.test))


def boosting_scores(windows: FoldWindows, seed: int) -> TwoSides:
    """Scores of the boosting, which learns from the training windows of the fold, copies with synthetic attacks among them."""
    store = windows.store
    boosting = Boosting.fit(store, store.windows(TRAIN), seed)
    return TwoSides(boosting.scores(store, windows.calibration), boosting.scores(store, windows.test))


def untrained_scores(windows: FoldWindows, scores: Path, captures: Sequence[str]) -> dict[str, TwoSides]:
    """Scores of the untrained detectors, by name, which a survey has kept; copies with synthetic attacks have none: NaN.

    Args:
        windows: Of the fold.
        scores: Folder in which the survey keeps them.
        captures: Names of the surveyed captures, in the order of the survey.

    Raises:
        CheckpointError: the scores of a capture are missing, torn or altered.
    """
    whole = {name: np.full(len(windows.store), np.nan) for name in UNTRAINED}
    for capture in windows.store.captures:
        if capture.recorded:
            kept = read_untrained(scores, captures.index(capture.name))
            for name in UNTRAINED:
                whole[name][slice(*capture.graphs)] = kept[name]
    return {name: TwoSides(values[windows.calibration], values[windows.test]) for name, values in whole.items()}

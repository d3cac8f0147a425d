"""Scores of detectors on the windows of a fold that thresholds are chosen on, and on those that are tested on."""

import numpy as np
from numpy.typing import NDArray

from kdgat_models.evaluation.baselines import UNTRAINED
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.fold import read_fold
from kdgat_models.graphs.store import GraphStore
from kdgat_models.npz import read_npz
from tasks.artifact import Artifact
from tasks.stages.models import open_model
from tasks.stages.reports import UNTRAINED_SCORES, read_pool


class Sides:
    """The windows of a fold on which scores are wanted."""

    def __init__(self, graphs: Artifact) -> None:
        self.dataset = GraphDataset(graphs.path)
        self.fold = read_fold(graphs.path)
        store = self.dataset.train
        self.calibration = calibration_windows(store)
        self.test = store.windows_of(self.fold.test)

    @property
    def store(self) -> GraphStore:
        return self.dataset.train


def windows_of(sides: Sides) -> list[tuple[str, NDArray[np.int64]]]:
    """Both sides by name."""
    return [("calibration", sides.calibration), ("test", sides.test)]


def model_scores(name: str, artifact: Artifact, sides: Sides) -> dict[str, NDArray[np.float64]]:
    """Scores of a trained model by NAME.SIDE."""
    model = open_model(artifact, sides.dataset, artifact.kind)
    data, extractor = sides.dataset.seen_through(model.checkpoint.vocabulary), EXTRACTORS[artifact.kind]
    return {f"{name}.{side}": extract(model.network, extractor, data, windows).scores for side, windows in windows_of(sides)}


def untrained_scores(sides: Sides) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores that the pool already has. Copies with synthetic attacks have none: NaN."""
    store, source = sides.store, sides.fold.store.parent
    names = [row.name for row in read_pool(source)]
    whole = {name: np.full(len(store), np.nan) for name in UNTRAINED}
    for capture in store.captures:
        if capture.recorded:
            scored = read_npz(source / UNTRAINED_SCORES / f"{names.index(capture.name)}.npz")
            for name in UNTRAINED:
                whole[name][slice(*capture.graphs)] = scored[name]
    return {name: {side: values[windows] for side, windows in windows_of(sides)} for name, values in whole.items()}

"""The detectors of one fold and seed -> their scores on calibration windows and on the windows of the test captures.

Thresholds, adaptation and metrics are the business of the report: scores are dear, what is made of them is cheap.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.schema import PipelineConfig
from kdgat_models.evaluation.baselines import UNTRAINED, Boosting
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.extraction.extract import extract
from kdgat_models.files import digest_files, write_json
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.fold import read_fold
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.graphs.store import GraphStore
from kdgat_models.npz import read_npz, write_npz
from tasks.artifact import Artifact
from tasks.stages.events import emit
from tasks.stages.models import open_model
from tasks.stages.pool import UNTRAINED_SCORES
from tasks.stages.reports import TRIAL, read_pool

SCORES, WINDOWS = "scores.npz", "windows.npz"


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


def trial(
    config: PipelineConfig,
    folder: Path,
    graphs: Artifact,
    reference: Artifact | None,
    models: dict[str, Artifact],
    published: dict[str, Artifact],
) -> Artifact:
    """Score everything.

    Args:
        config: Its seed is that of the boosting.
        folder: Of the artifact.
        graphs: The fold.
        reference: The same fold with the graphs of the published method, for the models in `published`.
        models: By what they are called in the report; the kind says what they are.
        published: Likewise.
    """
    sides = Sides(graphs)
    scores = {f"{name}.{side}": values for name, sided in _untrained(sides).items() for side, values in sided.items()}
    for name, artifact in models.items():
        scores |= _model(name, artifact, sides)
    if published and reference is not None:
        other = Sides(reference)
        for name, artifact in published.items():
            scores |= _model(name, artifact, other)
        scores["reference_calibration_labels"] = other.store.label[other.calibration].astype(np.float64)
    boosting = Boosting.fit(sides.store, sides.store.windows(TRAIN), config.seed)
    scores |= {f"boosting.{side}": boosting.scores(sides.store, windows) for side, windows in _windows(sides)}
    emit("log", message=f"scored {len(sides.test)} windows of {len(sides.fold.test)} captures")
    write_npz(folder / SCORES, **scores)
    store = sides.store
    write_npz(
        folder / WINDOWS,
        calibration_labels=store.label[sides.calibration],
        test=sides.test,
        labels=store.label[sides.test],
        captures=store.capture[sides.test],
        first_frame=store.first_frame[sides.test],
    )
    parameters = {name: artifact.summary["parameters"] for name, artifact in {**models, **published}.items()}
    meta: dict[str, Any] = {"fold": sides.fold.model_dump(mode="json"), "seed": config.seed, "parameters": parameters}
    write_json(folder / TRIAL, meta)
    digest = digest_files([folder / SCORES])
    return Artifact(kind="trial", path=folder, digest=digest, summary={"fold": sides.fold.name, "seed": config.seed})


def _windows(sides: Sides) -> list[tuple[str, NDArray[np.int64]]]:
    return [("calibration", sides.calibration), ("test", sides.test)]


def _model(name: str, artifact: Artifact, sides: Sides) -> dict[str, NDArray[np.float64]]:
    model = open_model(artifact, sides.dataset, artifact.kind)
    data, extractor = sides.dataset.seen_through(model.checkpoint.vocabulary), EXTRACTORS[artifact.kind]
    return {f"{name}.{side}": extract(model.network, extractor, data, windows).scores for side, windows in _windows(sides)}


def _untrained(sides: Sides) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores that the pool already has. Copies with synthetic attacks have none: NaN."""
    store, source = sides.store, sides.fold.store.parent
    names = [row.name for row in read_pool(source)]
    whole = {name: np.full(len(store), np.nan) for name in UNTRAINED}
    for capture in store.captures:
        if capture.recorded:
            scored = read_npz(source / UNTRAINED_SCORES / f"{names.index(capture.name)}.npz")
            for name in UNTRAINED:
                whole[name][slice(*capture.graphs)] = scored[name]
    return {name: {side: values[windows] for side, windows in _windows(sides)} for name, values in whole.items()}

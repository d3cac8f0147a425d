"""The detectors of one fold and seed -> their scores on calibration windows and on the windows of the test captures.

Thresholds, adaptation and metrics are the business of the report: scores are dear, what is made of them is cheap.
"""

from pathlib import Path
from typing import Any

from config.schema import Seeded
from kdgat_models.files import digest_files, write_json
from tasks.artifact import Artifact
from tasks.stages.events import emit
from tasks.stages.reports import SCORES, TRIAL, WINDOWS


def score(
    config: Seeded,
    folder: Path,
    graphs: Artifact,
    published_graphs: Artifact | None,
    models: dict[str, Artifact],
    published: dict[str, Artifact],
) -> Artifact:
    """Score everything.

    Args:
        config: Its seed is that of the boosting.
        folder: Of the artifact.
        graphs: The fold.
        published_graphs: The same fold with the graphs of the published method, for the models in `published`.
        models: By what they are called in the report; the kind says what they are.
        published: Likewise.
    """
    import numpy as np

    from kdgat_models.evaluation.baselines import Boosting
    from kdgat_models.graphs.splits import TRAIN
    from kdgat_models.npz import write_npz
    from tasks.stages.fold_scores import Sides, model_scores, untrained_scores, windows_of

    sides = Sides(graphs)
    scores = {f"{name}.{side}": values for name, sided in untrained_scores(sides).items() for side, values in sided.items()}
    for name, artifact in models.items():
        scores |= model_scores(name, artifact, sides)
    if published and published_graphs is not None:
        other = Sides(published_graphs)
        for name, artifact in published.items():
            scores |= model_scores(name, artifact, other)
        scores["reference_calibration_labels"] = other.store.label[other.calibration].astype(np.float64)
    boosting = Boosting.fit(sides.store, sides.store.windows(TRAIN), config.seed)
    scores |= {f"boosting.{side}": boosting.scores(sides.store, windows) for side, windows in windows_of(sides)}
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

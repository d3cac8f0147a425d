"""The detectors of one fold and seed -> their scores on calibration windows and on the windows of the test captures.

Thresholds, adaptation and metrics are the business of the report: scores are dear, what is made of them is cheap.
"""

from pathlib import Path

from config.schema import Seeded
from kdgat_models.files import digest_files, write_json
from tasks.artifact import Artifact
from tasks.stages.events import say
from tasks.stages.reports import TRIAL, UNTRAINED_SCORES, read_pool


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
    from kdgat_models.evaluation.protocols.trials import ScoredFold, save_scores
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.scoring.fold import FoldWindows, boosting_scores, model_scores, untrained_scores
    from kdgat_models.scoring.models import open_model

    windows = FoldWindows.of(GraphDataset(graphs.path))
    source = windows.fold.store.parent
    scores = untrained_scores(windows, source / UNTRAINED_SCORES, [row.name for row in read_pool(source)])
    for name, artifact in models.items():
        scores[name] = model_scores(windows, open_model(artifact.path, windows.dataset, artifact.kind), artifact.kind)
    published_labels = None
    if published and published_graphs is not None:
        other = FoldWindows.of(GraphDataset(published_graphs.path))
        for name, artifact in published.items():
            scores[name] = model_scores(other, open_model(artifact.path, other.dataset, artifact.kind), artifact.kind)
        published_labels = other.calibration_labels
    scores["boosting"] = boosting_scores(windows, config.seed)
    say(f"scored {len(windows.test)} windows of {len(windows.fold.test)} captures")
    store, test = windows.store, windows.test
    of_test = (test, store.label[test], store.capture[test], store.first_frame[test])
    kept = save_scores(folder, ScoredFold(windows.calibration_labels, *of_test, scores, published_labels))
    parameters = {name: artifact.summary["parameters"] for name, artifact in {**models, **published}.items()}
    meta = {"fold": windows.fold.model_dump(mode="json"), "seed": config.seed, "parameters": parameters}
    write_json(folder / TRIAL, meta)
    summary = {"fold": windows.fold.name, "seed": config.seed}
    return Artifact(kind="trial", path=folder, digest=digest_files([kept]), summary=summary)

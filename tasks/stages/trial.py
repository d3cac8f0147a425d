"""The detectors of one fold and seed -> their scores on calibration windows and on the windows of the test captures.

Thresholds, adaptation and metrics are the business of the report: scores are dear, what is made of them is cheap.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import Seeded
from kdgat_models.files import digest_files, write_json
from tasks.artifact import Artifact
from tasks.stages.events import say
from tasks.stages.reports import TRIAL, UNTRAINED_SCORES, read_pool

if TYPE_CHECKING:
    from kdgat_models.evaluation.protocols.trials import TwoSides
    from kdgat_models.scoring.fold import FoldWindows


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
    from kdgat_models.scoring.fold import FoldWindows, boosting_scores, untrained_scores

    windows = FoldWindows.of(GraphDataset(graphs.path))
    source = windows.fold.store.parent
    scores = untrained_scores(windows, source / UNTRAINED_SCORES, [row.name for row in read_pool(source)])
    for name, artifact in models.items():
        scores[name] = _model_scores(windows, artifact)
    published_labels = None
    if published and published_graphs is not None:
        other = FoldWindows.of(GraphDataset(published_graphs.path))
        for name, artifact in published.items():
            scores[name] = _model_scores(other, artifact)
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


def _model_scores(windows: "FoldWindows", artifact: Artifact) -> "TwoSides":
    """Scores of one trained model."""
    from kdgat_models.scoring.fold import model_scores
    from kdgat_models.scoring.models import open_model
    from kdgat_models.scoring.scorer import Scorer

    scorer = Scorer({artifact.kind: open_model(artifact.path, windows.dataset, artifact.kind)})
    return model_scores(windows, scorer.vocabulary, scorer.window_scores)

"""A classifier, or its fusion with an autoencoder -> F1 and ROC-AUC on the test windows of a fold."""

from pathlib import Path

from config.schema import Scoring
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.stages.events import say


def score(
    config: Scoring, folder: Path, graphs: Artifact, gat: Artifact, vgae: Artifact | None, fusion: Artifact | None
) -> Artifact:
    """Score what `fusion` makes of both models, or the classifier alone if there is none.

    The threshold is that of `decision.rule` on calibration windows, for a fusion too.
    """
    from kdgat_models.evaluation.ablation.rows import SCORE, Score
    from kdgat_models.evaluation.metrics import window_metrics
    from kdgat_models.evaluation.thresholds import EVEN_ODDS, choose_thresholds
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.scoring.fold import FoldWindows, model_scores
    from kdgat_models.scoring.models import open_model
    from kdgat_models.scoring.scorer import Scorer

    windows = FoldWindows.of(GraphDataset(graphs.path))
    own: float | None = None
    if vgae is None or fusion is None:
        scorer, own = Scorer({"gat": open_model(gat.path, windows.dataset, "gat")}), EVEN_ODDS
    else:
        given = {"vgae": vgae, "gat": gat}
        models = {name: open_model(artifact.path, windows.dataset, name) for name, artifact in given.items()}
        scorer = Scorer(models, open_model(fusion.path, windows.dataset, "fusion"))
    scores = model_scores(windows, scorer.vocabulary, scorer.window_scores)
    threshold = choose_thresholds(scores.calibration, windows.calibration_labels, own)[config.decision.rule]
    metrics = window_metrics(windows.test_labels, scores.test, threshold)
    say(f"scored {len(windows.test)} windows of {len(windows.fold.test)} captures")
    made = Score(windows.fold.name, config.seed, metrics.f1, metrics.roc_auc)
    content = {"fold": made.fold, "seed": made.seed, "threshold": threshold, **metrics.by_name()}
    write_json(folder / SCORE, content)
    return Artifact(kind="ablation_score", path=folder, digest=digest_json(content), summary=made._asdict())

"""A classifier, or its fusion with an autoencoder -> F1 and ROC-AUC on the test windows of a fold."""

from pathlib import Path

from config.schema import Scoring
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.stages.events import emit


def score(
    config: Scoring, folder: Path, graphs: Artifact, gat: Artifact, vgae: Artifact | None, fusion: Artifact | None
) -> Artifact:
    """Score what `fusion` makes of both models, or the classifier alone if there is none.

    The threshold is that of `decision.rule` on calibration windows, for a fusion too.
    """
    from kdgat_models.evaluation.ablation.effects import SCORE
    from kdgat_models.evaluation.calibration import calibration_windows
    from kdgat_models.evaluation.metrics import window_metrics
    from kdgat_models.evaluation.thresholds import EVEN_ODDS, choose_thresholds
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.graphs.fold import read_fold
    from tasks.stages.level_scores import alone, fused

    dataset = GraphDataset(graphs.path)
    store, fold = dataset.train, read_fold(graphs.path)
    calibration = calibration_windows(store)
    test = store.windows_of(fold.test)
    own: float | None = None
    if vgae is None or fusion is None:
        scores, own = [alone(dataset, gat, windows) for windows in (calibration, test)], EVEN_ODDS
    else:
        scores = [fused(dataset, gat, vgae, fusion, windows) for windows in (calibration, test)]
    threshold = choose_thresholds(scores[0], store.label[calibration], own)[config.decision.rule]
    metrics = window_metrics(store.label[test], scores[1], threshold)
    emit("log", message=f"scored {len(test)} windows of {len(fold.test)} captures")
    content = {"fold": fold.name, "seed": config.seed, "threshold": threshold, **metrics}
    write_json(folder / SCORE, content)
    summary = {name: content[name] for name in ("fold", "seed", "f1", "roc_auc")}
    return Artifact(kind="ablation_score", path=folder, digest=digest_json(content), summary=summary)

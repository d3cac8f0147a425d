"""Graphs and trained models -> metrics of each model on each test split, and the scores they were computed from."""

from pathlib import Path

from config.paths import METRICS
from config.schema import Judging
from kdgat_models.errors import DatasetError
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.stages.events import say
from tasks.stages.reports import EvaluationReport

AFTER_TRAINING = "training"


def evaluate(
    config: Judging,
    folder: Path,
    label: str,
    graphs: Artifact,
    vgae: Artifact | None,
    gat: Artifact | None,
    fusion: Artifact | None,
    occasion: str = AFTER_TRAINING,
) -> Artifact:
    """Evaluate the given models on every test split, at the thresholds in their checkpoints.

    Models read these graphs through the vocabulary that they were trained with, so that the graphs may be of other captures.
    """
    import numpy as np

    from kdgat_models.bundle import student_bundle
    from kdgat_models.evaluation.report import split_report
    from kdgat_models.evaluation.rows import ALL, EvaluationRow
    from kdgat_models.evaluation.score_table import write_scores
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.scoring.models import open_model
    from kdgat_models.scoring.scorer import Scorer
    from tasks.stages.narration import emit_windows

    dataset = GraphDataset(graphs.path)
    stores = dataset.test_stores()
    if not any(len(store) for store in stores.values()):
        raise DatasetError(f"{config.dataset} has no window in any test split; add captures to one of its test_ folders")
    given = {"vgae": vgae, "gat": gat}
    models = {name: open_model(artifact.path, dataset, name) for name, artifact in given.items() if artifact}
    fused = open_model(fusion.path, dataset, "fusion") if fusion and len(models) == len(given) else None
    scorer = Scorer(models, fused, config.decision.rule)
    rows: list[EvaluationRow] = []
    for split, store in stores.items():
        if not len(store):
            say(f"{split} has no whole window and is not evaluated")
            continue
        scores = scorer.split_scores(store)
        rows += split_report(label, split, store, scores)
        write_scores(folder / "scores" / f"{split}.parquet", store, scores, scorer.suspects(store))
        emit_windows(split, store, np.arange(len(store)))
    if occasion == AFTER_TRAINING and "gat" in models:
        student_bundle(folder, models["gat"].checkpoint)
    report = EvaluationReport(dataset=config.dataset, variant=label, occasion=occasion, rows=tuple(rows)).as_json()
    write_json(folder / METRICS, report)
    found = [row.metrics.f1 for row in rows if row.attack == ALL and row.metrics.f1 is not None]
    summary = {"variant": label, "splits": len(stores), "mean_f1": float(np.mean(found)) if found else None}
    return Artifact(kind="evaluation", path=folder, digest=digest_json(report["rows"]), summary=summary)

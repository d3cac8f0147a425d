"""Scores of all folds and seeds -> the report of a protocol."""

from itertools import groupby
from pathlib import Path

from config.schema import ProtocolReporting
from kdgat_models.files import digest_json, write_json, write_text
from tasks.artifact import Artifact
from tasks.stages.reports import REPORT, read_trial

TABLES = "report.md"


def report(config: ProtocolReporting, folder: Path, pool: Artifact, trials: list[Artifact]) -> Artifact:
    """Decide, count and write `report.json` and `report.md`."""
    from kdgat_models.evaluation.protocols.report import capture_rows, decide, fold_rows
    from kdgat_models.evaluation.protocols.tables import markdown
    from tasks.stages.trials import BASELINES, MODELS, judged_captures, read_back, report_of

    metas = [read_trial(artifact.path) for artifact in trials]
    loaded = [read_back(artifact.path, meta) for artifact, meta in zip(trials, metas, strict=True)]
    captures, notes = judged_captures(pool, config.preprocessing.window_size)
    loaded.sort(key=lambda trial: (trial.fold, trial.seed))
    rows, per_capture = [], []
    for _, group in groupby(loaded, key=lambda trial: trial.fold):
        same_fold = list(group)
        for detector in (*MODELS, *BASELINES):
            having = [trial for trial in same_fold if detector in trial.test]
            if having:
                decided = [decide(trial, detector, captures, config.decision.rule) for trial in having]
                rows += fold_rows(having, detector, decided, captures)
                notes += [
                    f"{detector}, seed {trial.seed}: {n}" for trial, d in zip(having, decided, strict=True) for n in d.notes
                ]
                per_capture += [r for t, d in zip(having, decided, strict=True) for r in capture_rows(t, detector, d, captures)]
    content = report_of(config, pool, metas, rows, per_capture)
    content["notes"] = [note for note in notes if note.startswith((*MODELS, "no clock"))]
    write_json(folder / REPORT, content)
    write_text(folder / TABLES, markdown(content))
    best = {row["regime"]: round(row["f1"], 4) for row in content["macro"] if row["detector"] == "teacher"}
    return Artifact(kind="protocol", path=folder, digest=digest_json(content), summary={"protocol": config.dataset, "f1": best})

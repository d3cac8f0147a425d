"""Scores of all folds and seeds -> the report of a protocol."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from config.schema import PipelineConfig
from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import read_frames
from kdgat_models.evaluation.baselines import UNTRAINED
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.evaluation.protocols.registry import PROTOCOLS
from kdgat_models.evaluation.protocols.report import (
    CaptureFrames,
    Captures,
    JudgedWindows,
    Trial,
    capture_rows,
    decide,
    fold_rows,
    macro_rows,
)
from kdgat_models.evaluation.protocols.tables import markdown
from kdgat_models.files import digest_json, write_json, write_text
from kdgat_models.graphs.dataset import TRAIN_STORE
from kdgat_models.graphs.store import GraphStore
from kdgat_models.npz import read_npz
from tasks.artifact import Artifact
from tasks.stages.reports import REPORT, TrialRecord, read_audit, read_pool, read_trial
from tasks.stages.trial import SCORES, WINDOWS

TABLES = "report.md"
MODELS = ("teacher", "student")
BASELINES = ("vgae", "gat_reference", "boosting", *UNTRAINED)
LOG_ODDS = frozenset({*MODELS, "gat_reference", "boosting"})


def protocol(config: PipelineConfig, folder: Path, pool: Artifact, trials: list[Artifact]) -> Artifact:
    """Decide, count and write `report.json` and `report.md`."""
    metas = [read_trial(artifact.path) for artifact in trials]
    loaded = [_trial(artifact.path, meta) for artifact, meta in zip(trials, metas, strict=True)]
    captures, notes = _captures(pool, config)
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
    report = _report(config, pool, metas, rows, per_capture)
    report["notes"] = [note for note in notes if note.startswith((*MODELS, "no clock"))]
    write_json(folder / REPORT, report)
    write_text(folder / TABLES, markdown(report))
    best = {row["regime"]: round(row["f1"], 4) for row in report["macro"] if row["detector"] == "teacher"}
    return Artifact(kind="protocol", path=folder, digest=digest_json(report), summary={"protocol": config.dataset, "f1": best})


def _report(
    config: PipelineConfig,
    pool: Artifact,
    metas: list[TrialRecord],
    rows: list[dict[str, Any]],
    captures: list[dict[str, Any]],
) -> dict[str, Any]:
    known = PROTOCOLS[config.dataset]
    facts = read_pool(pool.path)
    folds = {meta.fold.name: meta.fold.model_dump(mode="json", include={*Fold._fields}) for meta in metas}
    return {
        "protocol": known.name,
        "version": known.version,
        "states": known.states,
        "rule": config.decision.rule,
        "datasets": sorted({fact.dataset for fact in facts}),
        "window_size": config.preprocessing.window_size,
        "seeds": len({meta.seed for meta in metas}),
        "detectors": [name for name in (*MODELS, *BASELINES) if any(row["detector"] == name for row in rows)],
        "models": list(MODELS),
        "baselines": [name for name in BASELINES if any(row["detector"] == name for row in rows)],
        "parameters": {name: count for meta in metas for name, count in meta.parameters.items()},
        "folds": [folds[name] for name in sorted(folds)],
        "names": [fact.name for fact in facts],
        "vehicles": {fact.name: fact.vehicle for fact in facts},
        "macro": macro_rows(rows),
        "rows": rows,
        "captures": captures,
        "overlaps": read_audit(pool.path).overlaps,
    }


def _captures(pool: Artifact, config: PipelineConfig) -> tuple[Captures, list[str]]:
    """Facts and frames by the number of a capture in the store, in which copies have numbers too."""
    known = {fact.name: fact.model_dump(mode="json") for fact in read_pool(pool.path)}
    facts, frames, notes = [], [], []
    for entry in GraphStore(pool.path / TRAIN_STORE).captures:
        fact = known[entry.original]
        facts.append(fact)
        if not entry.recorded:
            frames.append(CaptureFrames(np.zeros(0), np.zeros(0, np.uint8)))
            continue
        capture = read_frames(Path(fact["path"]))
        frames.append(CaptureFrames(capture.timestamp, capture.label))
        if not tells_time(capture.timestamp):
            notes.append(f"no clock: {entry.name} has constant timestamps; its frames were counted instead of seconds")
    return Captures(facts, frames, config.preprocessing.window_size), notes


def _trial(folder: Path, meta: TrialRecord) -> Trial:
    about, scores = read_npz(folder / WINDOWS), read_npz(folder / SCORES)
    windows = JudgedWindows(about["labels"], about["captures"], about["first_frame"])
    test = {name.removesuffix(".test"): scores[name] for name in scores if name.endswith(".test")}
    calibration = {}
    for name in test:
        reference = name == "gat_reference"
        mine = scores["reference_calibration_labels"].astype(np.int64) if reference else about["calibration_labels"]
        calibration[name] = (scores[f"{name}.calibration"], mine)
    return Trial(meta.fold.name, meta.seed, windows, test, calibration, LOG_ODDS)

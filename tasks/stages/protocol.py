"""Scores of all folds and seeds -> the report of a protocol."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from config.schema import PipelineConfig
from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import read_frames
from kdgat_models.evaluation.baselines import UNTRAINED
from kdgat_models.evaluation.protocol_report import (
    CaptureFrames,
    Captures,
    JudgedWindows,
    Trial,
    capture_rows,
    decide,
    fold_rows,
    macro_rows,
)
from kdgat_models.evaluation.protocol_tables import markdown
from kdgat_models.evaluation.protocols import PROTOCOLS
from kdgat_models.files import digest_json, write_json
from kdgat_models.graphs.dataset import TRAIN_STORE
from kdgat_models.graphs.store import GraphStore
from tasks.artifact import Artifact
from tasks.stages.pool import AUDIT, CAPTURES
from tasks.stages.trial import SCORES, TRIAL

REPORT, TABLES = "report.json", "report.md"
MODELS = ("teacher", "student")
BASELINES = ("vgae", "gat_reference", "boosting", *UNTRAINED)
LOG_ODDS = frozenset({*MODELS, "gat_reference", "boosting"})


def protocol(config: PipelineConfig, folder: Path, pool: Artifact, trials: list[Artifact]) -> Artifact:
    """Decide, count and write `report.json` and `report.md`."""
    metas = [json.loads((artifact.path / TRIAL).read_text()) for artifact in trials]
    loaded = [_trial(artifact.path, meta) for artifact, meta in zip(trials, metas, strict=True)]
    captures, notes = _captures(pool, config)
    loaded.sort(key=lambda trial: (trial.fold, trial.seed))
    rows, per_capture = [], []
    for _, group in groupby(loaded, key=lambda trial: trial.fold):
        same_fold = list(group)
        for detector in (*MODELS, *BASELINES):
            having = [trial for trial in same_fold if detector in trial.test]
            if having:
                decided = [decide(trial, detector, captures) for trial in having]
                rows += fold_rows(having, detector, decided, captures)
                notes += [
                    f"{detector}, seed {trial.seed}: {n}" for trial, d in zip(having, decided, strict=True) for n in d.notes
                ]
                per_capture += [r for t, d in zip(having, decided, strict=True) for r in capture_rows(t, detector, d, captures)]
    report = _report(config, pool, metas, rows, per_capture)
    report["notes"] = [note for note in notes if note.startswith((*MODELS, "no clock"))]
    write_json(folder / REPORT, report)
    (folder / TABLES).write_text(markdown(report))
    best = {row["regime"]: round(row["f1"], 4) for row in report["macro"] if row["detector"] == "teacher"}
    return Artifact(kind="protocol", path=folder, digest=digest_json(report), summary={"protocol": config.dataset, "f1": best})


def _report(
    config: PipelineConfig,
    pool: Artifact,
    metas: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    captures: list[dict[str, Any]],
) -> dict[str, Any]:
    known = PROTOCOLS[config.dataset]
    facts = json.loads((pool.path / CAPTURES).read_text())
    folds = {meta["fold"]["name"]: {k: meta["fold"][k] for k in ("name", "train", "test", "left_out")} for meta in metas}
    return {
        "protocol": known.name,
        "version": known.version,
        "states": known.states,
        "datasets": sorted({fact["dataset"] for fact in facts}),
        "window_size": config.preprocessing.window_size,
        "seeds": len({meta["seed"] for meta in metas}),
        "detectors": [name for name in (*MODELS, *BASELINES) if any(row["detector"] == name for row in rows)],
        "models": list(MODELS),
        "baselines": [name for name in BASELINES if any(row["detector"] == name for row in rows)],
        "parameters": {name: count for meta in metas for name, count in meta["parameters"].items()},
        "folds": [folds[name] for name in sorted(folds)],
        "names": [fact["name"] for fact in facts],
        "vehicles": {fact["name"]: fact["vehicle"] for fact in facts},
        "macro": macro_rows(rows),
        "rows": rows,
        "captures": captures,
        "overlaps": json.loads((pool.path / AUDIT).read_text())["overlaps"],
    }


def _captures(pool: Artifact, config: PipelineConfig) -> tuple[Captures, list[str]]:
    """Facts and frames by the number of a capture in the store, in which copies have numbers too."""
    known = {fact["name"]: fact for fact in json.loads((pool.path / CAPTURES).read_text())}
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


def _trial(folder: Path, meta: dict[str, Any]) -> Trial:
    with np.load(folder / "windows.npz") as w, np.load(folder / SCORES) as scores:
        windows = JudgedWindows(w["labels"], w["captures"], w["first_frame"])
        labels = w["calibration_labels"]
        test = {name.removesuffix(".test"): scores[name] for name in scores if name.endswith(".test")}
        calibration = {}
        for name in test:
            mine = scores["reference_calibration_labels"].astype(np.int64) if name == "gat_reference" else labels
            calibration[name] = (scores[f"{name}.calibration"], mine)
    return Trial(meta["fold"]["name"], meta["seed"], windows, test, calibration, LOG_ODDS)

"""What the trials of a protocol are read back as, and what their report says."""

from pathlib import Path
from typing import Any

import numpy as np

from config.schema import ProtocolReporting
from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import read_frames
from kdgat_models.evaluation.baselines import UNTRAINED
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.evaluation.protocols.registry import PROTOCOLS
from kdgat_models.evaluation.protocols.report import CaptureFrames, Captures, JudgedWindows, Trial, macro_rows
from kdgat_models.graphs.dataset import TRAIN_STORE
from kdgat_models.graphs.store import GraphStore
from kdgat_models.npz import read_npz
from tasks.artifact import Artifact
from tasks.stages.reports import SCORES, WINDOWS, TrialRecord, read_audit, read_pool

MODELS = ("teacher", "student")
BASELINES = ("vgae", "gat_reference", "boosting", *UNTRAINED)
LOG_ODDS = frozenset({*MODELS, "gat_reference", "boosting"})


def report_of(
    config: ProtocolReporting,
    pool: Artifact,
    metas: list[TrialRecord],
    rows: list[dict[str, Any]],
    captures: list[dict[str, Any]],
) -> dict[str, Any]:
    """The content of `report.json`."""
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


def judged_captures(pool: Artifact, window_size: int) -> tuple[Captures, list[str]]:
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
    return Captures(facts, frames, window_size), notes


def read_back(folder: Path, meta: TrialRecord) -> Trial:
    """The scores of a trial."""
    about, scores = read_npz(folder / WINDOWS), read_npz(folder / SCORES)
    windows = JudgedWindows(about["labels"], about["captures"], about["first_frame"])
    test = {name.removesuffix(".test"): scores[name] for name in scores if name.endswith(".test")}
    calibration = {}
    for name in test:
        reference = name == "gat_reference"
        mine = scores["reference_calibration_labels"].astype(np.int64) if reference else about["calibration_labels"]
        calibration[name] = (scores[f"{name}.calibration"], mine)
    return Trial(meta.fold.name, meta.seed, windows, test, calibration, LOG_ODDS)

"""The whole report of a protocol: from the scores of its trials to what `report.json` says."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import read_frames
from kdgat_models.evaluation.baselines import UNTRAINED
from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Overlap, Protocol
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
from kdgat_models.evaluation.protocols.rows import CaptureRow, FoldRow, MacroRow
from kdgat_models.evaluation.protocols.trials import ScoredFold
from kdgat_models.graphs.store import GraphStore

MODELS = ("teacher", "student")
PUBLISHED = "gat_reference"  # the classifier of the published method, which reads graphs of its own
BASELINES = ("vgae", PUBLISHED, "boosting", *UNTRAINED)
LOG_ODDS = frozenset({*MODELS, PUBLISHED, "boosting"})
NO_CLOCK = "no clock"


class Judged(NamedTuple):
    """What the scores of all trials came to."""

    rows: list[FoldRow]  # one per fold, detector and regime
    captures: list[CaptureRow]  # one per trial, detector, regime and capture
    notes: list[str]  # on captures that could not be calibrated


class About(NamedTuple):
    """What a report says beside its figures."""

    rule: str  # of decision
    captures: Sequence[CaptureFacts]
    folds: Mapping[str, Fold]
    parameters: Mapping[str, int]  # number of them, by detector
    overlaps: Sequence[Overlap]  # captures that share content
    notes: list[str]  # on captures without a clock


class ProtocolReport(NamedTuple):
    """What came of a protocol, in the order of `report.json`."""

    protocol: str
    version: int
    states: str  # what was trained on what, for people
    rule: str  # of decision
    datasets: list[str]
    window_size: int  # frames
    seeds: int
    detectors: list[str]  # models first
    models: list[str]
    baselines: list[str]
    parameters: dict[str, int]  # number of them, by detector
    folds: list[Fold]
    names: list[str]  # of captures
    vehicles: dict[str, str]  # by capture
    macro: list[MacroRow]
    rows: list[FoldRow]
    captures: list[CaptureRow]
    overlaps: Sequence[Overlap]
    notes: list[str]  # on captures that were not calibrated or have no clock

    def as_json(self) -> dict[str, Any]:
        """The content of `report.json`."""
        return {
            **self._asdict(),
            "folds": [fold._asdict() for fold in self.folds],
            "macro": [row._asdict() for row in self.macro],
            "rows": [row.as_json() for row in self.rows],
            "captures": [row.as_json() for row in self.captures],
            "overlaps": [overlap._asdict() for overlap in self.overlaps],
        }


def as_trial(scored: ScoredFold, fold: str, seed: int) -> Trial:
    """The scores of a fold and seed, ready to be judged."""
    windows = JudgedWindows(scored.labels, scored.captures, scored.first_frame)
    calibration = {}
    for name, sides in scored.scores.items():
        of_published = name == PUBLISHED and scored.published_labels is not None
        calibration[name] = (sides.calibration, scored.published_labels if of_published else scored.calibration_labels)
    return Trial(fold, seed, windows, {name: sides.test for name, sides in scored.scores.items()}, calibration, LOG_ODDS)


def judged_captures(
    store: GraphStore, facts: Mapping[str, CaptureFacts], paths: Mapping[str, Path], window_size: int
) -> tuple[Captures, list[str]]:
    """Facts and frames by the number of a capture in `store`, in which copies have numbers, too, but no frames.

    Args:
        store: Of the pool.
        facts: By the name of a recorded capture.
        paths: Of their Parquet files, by the same names.
        window_size: Frames in a window.

    Returns:
        The captures, and a note on each that tells no time.

    Raises:
        CaptureError: a file is no capture.
    """
    of_store, frames, notes = [], [], []
    for entry in store.captures:
        of_store.append(facts[entry.original])
        if not entry.recorded:
            frames.append(CaptureFrames(np.zeros(0), np.zeros(0, np.uint8)))
            continue
        capture = read_frames(paths[entry.name])
        frames.append(CaptureFrames(capture.timestamp, capture.label))
        if not tells_time(capture.timestamp):
            notes.append(f"{NO_CLOCK}: {entry.name} has constant timestamps; its frames were counted instead of seconds")
    return Captures(of_store, frames, window_size), notes


def judge(trials: Sequence[Trial], captures: Captures, rule: str) -> Judged:
    """Decide and count, for each detector of each fold over all its seeds; `rule` is that of decision."""
    judged = Judged([], [], [])
    in_order = sorted(trials, key=lambda trial: (trial.fold, trial.seed))
    for _, group in groupby(in_order, key=lambda trial: trial.fold):
        same_fold = list(group)
        for detector in (*MODELS, *BASELINES):
            having = [trial for trial in same_fold if detector in trial.test]
            if not having:
                continue
            decided = [decide(trial, detector, captures, rule) for trial in having]
            judged.rows.extend(fold_rows(having, detector, decided, captures))
            for trial, decisions in zip(having, decided, strict=True):
                judged.notes.extend(f"{detector}, seed {trial.seed}: {note}" for note in decisions.notes)
                judged.captures.extend(capture_rows(trial, detector, decisions, captures))
    return judged


def protocol_report(protocol: Protocol, trials: Sequence[Trial], captures: Captures, about: About) -> ProtocolReport:
    """Judge all trials, and say what came of it.

    Args:
        protocol: Whose folds these are.
        trials: All folds and seeds.
        captures: By their number in the store.
        about: What else is said.

    Raises:
        DatasetError: a detector has no normal calibration window.
    """
    judged = judge(trials, captures, about.rule)
    found = {row.detector for row in judged.rows}
    notes = [note for note in (*about.notes, *judged.notes) if note.startswith((*MODELS, NO_CLOCK))]
    return ProtocolReport(
        protocol=protocol.name,
        version=protocol.version,
        states=protocol.states,
        rule=about.rule,
        datasets=sorted({capture.dataset for capture in about.captures}),
        window_size=captures.window_size,
        seeds=len({trial.seed for trial in trials}),
        detectors=[name for name in (*MODELS, *BASELINES) if name in found],
        models=list(MODELS),
        baselines=[name for name in BASELINES if name in found],
        parameters=dict(about.parameters),
        folds=[about.folds[name] for name in sorted(about.folds)],
        names=[capture.name for capture in about.captures],
        vehicles={capture.name: capture.vehicle for capture in about.captures},
        macro=macro_rows(judged.rows),
        rows=judged.rows,
        captures=judged.captures,
        overlaps=about.overlaps,
        notes=notes,
    )

"""From the scores of all folds and seeds to the figures of a protocol."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from kdgat_models.evaluation.adaptation import Adaptation, Source, from_capture, from_normal
from kdgat_models.evaluation.bootstrap import ScoredWindows, interval, time_blocks
from kdgat_models.evaluation.episodes import CaptureWindows, EventMetrics, Events, capture_events, total
from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.protocols.protocol import CaptureFacts
from kdgat_models.evaluation.protocols.rows import CaptureRow, FoldRow, MacroRow
from kdgat_models.evaluation.thresholds import EVEN_ODDS, FALSE_ALARM_BUDGETS, choose_thresholds

Scores = NDArray[np.float64]

# How a threshold comes about. None has seen a label of the target.
REGIMES = {
    "source": "by `decision.rule` on recorded calibration windows of the training captures: {rule}",
    "budget": "at most 0.1 % of normal windows, conformal, on the same calibration windows",
    "adapted_normal": "source, moved by the first two minutes of one attack-free capture of the target vehicle",
    "adapted_capture": "source, moved by the unflagged bulk of the unlabelled capture so far",
}
RULES = {
    "f1": "highest F1; of all that are as good, the nearest to even odds (teacher, student, GAT, boosting) or the middle "
    "(scores that are no log-odds)",
    **{f"fpr_{budget:g}": f"at most {budget:.1%} of normal windows, conformal" for budget in FALSE_ALARM_BUDGETS},
}
NORMAL_SECONDS = 120.0
BLOCK_WINDOWS = 50
PERCENT_FALSE_ALARMS = "fpr_0.001"


class CaptureFrames(NamedTuple):
    """What episodes are told by: one capture's frames."""

    timestamp: NDArray[np.float64]
    label: NDArray[np.uint8]


class JudgedWindows(NamedTuple):
    """The G windows of a fold's test captures, those of a capture together and in time order."""

    labels: NDArray[np.integer[Any]]  # [G]
    captures: NDArray[np.integer[Any]]  # [G], number of the capture
    first_frame: NDArray[np.int64]  # [G]

    def of(self, capture: int) -> NDArray[np.int64]:
        """Rows of the windows of one capture, by its number; in time order."""
        return np.flatnonzero(self.captures == capture)


class Trial(NamedTuple):
    """One fold and seed."""

    fold: str
    seed: int
    windows: JudgedWindows
    test: Mapping[str, Scores]  # [G] by detector
    calibration: Mapping[str, tuple[Scores, NDArray[np.integer[Any]]]]  # scores and labels by detector
    log_odds: frozenset[str] = frozenset()  # detectors whose scores are log-odds of an attack


class Decisions(NamedTuple):
    """Thresholds [G] of one detector by regime; NaN where a window is not to be judged."""

    thresholds: dict[str, Scores]
    notes: list[str]  # captures that could not be calibrated, with the reason


class Captures(NamedTuple):
    """The captures of a protocol, by their number in the store."""

    facts: list[CaptureFacts]
    frames: list[CaptureFrames]
    window_size: int


def decide(trial: Trial, detector: str, captures: Captures, rule: str = "f1") -> Decisions:
    """Choose the thresholds of a detector in a trial, by every regime; `rule` is that of `source`, one of RULES."""
    scores, labels = trial.calibration[detector]
    known = np.isfinite(scores)
    chosen = choose_thresholds(scores[known], labels[known], EVEN_ODDS if detector in trial.log_odds else None)
    source = Source.of(chosen[rule], scores[known & (labels == 0)])
    test, windows = trial.test[detector], trial.windows
    thresholds = {"source": np.full(len(test), chosen[rule]), "budget": np.full(len(test), chosen[PERCENT_FALSE_ALARMS])}
    notes: list[str] = []
    normal = _normal_minutes(windows, captures)
    given = np.full(len(test), np.nan)
    so_far = np.full(len(test), np.nan)
    for capture in np.unique(windows.captures):
        mine, name = windows.of(int(capture)), captures.facts[capture].name
        minutes = normal.get(captures.facts[capture].vehicle, np.zeros(0, np.int64))
        _place(given, mine, from_normal(source, test[minutes], len(mine)), f"{name} (normal minutes)", notes)
        given[np.intersect1d(mine, minutes)] = np.nan  # what was calibrated on is not judged
        _place(so_far, mine, from_capture(source, test[mine]), f"{name} (capture so far)", notes)
    return Decisions({**thresholds, "adapted_normal": given, "adapted_capture": so_far}, notes)


def _place(out: Scores, mine: NDArray[np.int64], adaptation: Adaptation, name: str, notes: list[str]) -> None:
    out[mine] = adaptation.thresholds
    if adaptation.reason:
        notes.append(f"{name}: not calibrated: {adaptation.reason}")


def _normal_minutes(windows: JudgedWindows, captures: Captures) -> dict[str, NDArray[np.int64]]:
    """For each vehicle with an attack-free test capture: the windows of the first NORMAL_SECONDS of its longest one."""
    found: dict[str, tuple[float, NDArray[np.int64]]] = {}
    for capture in np.unique(windows.captures):
        facts, stamps = captures.facts[capture], captures.frames[capture].timestamp
        if facts.attack != "none":
            continue
        mine, seconds = windows.of(int(capture)), float(stamps[-1] - stamps[0])
        if seconds > found.get(facts.vehicle, (-1.0, mine))[0]:
            ends = stamps[windows.first_frame[mine] + captures.window_size - 1]
            found[facts.vehicle] = (seconds, mine[ends <= stamps[0] + NORMAL_SECONDS])
    return {vehicle: chosen for vehicle, (_, chosen) in found.items()}


def capture_rows(trial: Trial, detector: str, decisions: Decisions, captures: Captures) -> Iterator[CaptureRow]:
    """One row per capture and regime: window metrics and events."""
    for regime, thresholds in decisions.thresholds.items():
        for capture in np.unique(trial.windows.captures):
            mine = trial.windows.of(int(capture))
            judged = mine[np.isfinite(thresholds[mine])]
            margin = trial.test[detector][judged] - thresholds[judged]
            events = _events(trial, judged, margin >= 0, captures, int(capture))
            metrics = window_metrics(trial.windows.labels[judged], margin, 0.0) if len(judged) else None
            name = captures.facts[capture].name
            yield CaptureRow(trial.fold, trial.seed, detector, regime, name, metrics, events.metrics())


def _events(trial: Trial, rows: NDArray[np.int64], flagged: NDArray[np.bool_], captures: Captures, capture: int) -> Events:
    frames = captures.frames[capture]
    windows = CaptureWindows(trial.windows.first_frame[rows], captures.window_size, flagged)
    return capture_events(frames.timestamp, frames.label, windows)


def fold_rows(trials: list[Trial], detector: str, decided: list[Decisions], captures: Captures) -> list[FoldRow]:
    """One row per regime for the trials of one fold, which differ in the seed: means, spread and intervals."""
    windows = trials[0].windows
    labels, blocks = windows.labels, time_blocks(windows.captures, BLOCK_WINDOWS)
    scores = np.stack([trial.test[detector] for trial in trials])
    rows: list[FoldRow] = []
    for regime in REGIMES:
        thresholds = np.stack([decisions.thresholds[regime] for decisions in decided])
        judged = np.asarray(np.isfinite(thresholds).all(0))
        if not judged.any():
            continue
        margins = (scores - thresholds)[:, judged]
        per_seed = [window_metrics(labels[judged], margin, 0.0) for margin in margins]
        generator = np.random.default_rng(0)
        f1 = interval("f1", ScoredWindows(labels[judged], margins, np.zeros(len(margins)), blocks[judged]), generator)
        auc = interval(
            "roc_auc", ScoredWindows(labels[judged], scores[:, judged], np.zeros(len(scores)), blocks[judged]), generator
        )
        events = [_pooled(trial, margin, judged, captures) for trial, margin in zip(trials, margins, strict=True)]
        rows.append(
            FoldRow(
                fold=trials[0].fold,
                detector=detector,
                regime=regime,
                seeds=len(trials),
                f1=f1.value,
                f1_interval=(f1.low, f1.high),
                roc_auc=auc.value,
                roc_auc_interval=(auc.low, auc.high),
                f1_by_seed=[metrics.f1 for metrics in per_seed],
                roc_auc_by_seed=[_auc(labels[judged], row[judged]) for row in scores],
                precision=_mean(metrics.precision for metrics in per_seed),
                recall=_mean(metrics.recall for metrics in per_seed),
                fpr=_mean(metrics.fpr for metrics in per_seed),
                events=EventMetrics._make(_mean(values) for values in zip(*events, strict=True)),
            )
        )
    return rows


def _pooled(trial: Trial, margin: Scores, judged: NDArray[np.bool_], captures: Captures) -> EventMetrics:
    rows, flagged = np.flatnonzero(judged), np.zeros(len(judged), bool)
    flagged[rows] = margin >= 0
    numbers = trial.windows.captures[rows]
    parts = [rows[numbers == capture] for capture in np.unique(numbers)]
    return total(
        _events(trial, part, flagged[part], captures, int(trial.windows.captures[part[0]])) for part in parts
    ).metrics()


def _auc(labels: NDArray[np.integer[Any]], scores: Scores) -> float | None:
    return float(roc_auc_score(labels, scores)) if 0 < labels.sum() < len(labels) else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def macro_rows(rows: Sequence[FoldRow]) -> list[MacroRow]:
    """Mean over folds for each detector and regime: each fold counts the same, however long its captures are."""
    keys = sorted({(row.detector, row.regime) for row in rows})
    of_keys = ([row for row in rows if (row.detector, row.regime) == key and row.f1 is not None] for key in keys)
    return [_macro_row(mine) for mine in of_keys if mine]


def _macro_row(folds: Sequence[FoldRow]) -> MacroRow:
    seeds = min(len(row.f1_by_seed) for row in folds)
    return MacroRow(
        detector=folds[0].detector,
        regime=folds[0].regime,
        folds=len(folds),
        f1=_mean(row.f1 for row in folds),
        roc_auc=_mean(row.roc_auc for row in folds),
        precision=_mean(row.precision for row in folds),
        recall=_mean(row.recall for row in folds),
        fpr=_mean(row.fpr for row in folds),
        episode_recall=_mean(row.events.episode_recall for row in folds),
        false_alarms_per_hour=_mean(row.events.false_alarms_per_hour for row in folds),
        f1_by_seed=[_mean(row.f1_by_seed[seed] for row in folds) for seed in range(seeds)],
    )

"""The report of a protocol as Markdown tables."""

from collections.abc import Iterable

from kdgat_models.evaluation.protocols.protocol_report import ProtocolReport
from kdgat_models.evaluation.protocols.report import REGIMES, RULES
from kdgat_models.evaluation.protocols.rows import CaptureRow, FoldRow
from kdgat_models.evaluation.rows import WindowMetrics

SHOWN = ("source", "adapted_normal", "adapted_capture")  # in the tables; the budget is in report.json too


def markdown(report: ProtocolReport) -> str:
    """All of a report that people read."""
    parts = [
        f"# {report.protocol}, version {report.version}",
        report.states,
        f"Datasets: {', '.join(report.datasets)}. Seeds: {report.seeds}. Windows of {report.window_size} frames.",
        "## Thresholds\n\n" + "\n".join(f"- **{name}**: {text}" for name, text in regimes(report.rule).items()),
        "## Mean over folds\n\n" + _macro_table(report),
        "## F1 / ROC-AUC by fold (threshold: source)\n\n" + _fold_table(report, "source"),
        "## F1 / ROC-AUC by fold (threshold: adapted_normal)\n\n" + _fold_table(report, "adapted_normal"),
        "## Events by fold (threshold: source)\n\n" + _event_table(report),
        "## Captures with attacks: F1 / ROC-AUC, mean over seeds (threshold: source)\n\n" + _attack_table(report),
        "## Attack-free captures: share of windows flagged\n\n" + _free_table(report),
        "## Captures that share content\n\n" + _audit_table(report),
        "## What was trained on what\n\n" + _folds(report),
    ]
    if report.notes:
        parts.append("## Not calibrated, or without a clock\n\n" + "\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def regimes(rule: str) -> dict[str, str]:
    """How the thresholds of each regime come about under a decision rule."""
    return {name: text.format(rule=RULES[rule]) for name, text in REGIMES.items()}


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(value: float | None, digits: int = 4) -> str:
    """A figure as tables show it; a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def _both(f1: float | None, roc_auc: float | None) -> str:
    return f"{figure(f1)} / {figure(roc_auc)}"


def _macro_table(report: ProtocolReport) -> str:
    header = [
        "detector",
        "parameters",
        *(f"F1 {regime}" for regime in REGIMES),
        "ROC-AUC",
        "FPR source",
        "episodes found",
        "false alarms/h",
    ]
    rows = []
    for detector in report.detectors:
        mine = {row.regime: row for row in report.macro if row.detector == detector}
        source = mine["source"]
        parameters = report.parameters.get(detector)
        f1 = [figure(mine[regime].f1) if regime in mine else "-" for regime in REGIMES]
        tail = [figure(value) for value in (source.roc_auc, source.fpr, source.episode_recall)]
        rows.append([detector, f"{parameters:,}" if parameters else "-", *f1, *tail, figure(source.false_alarms_per_hour, 1)])
    return _table(header, rows)


def _fold_table(report: ProtocolReport, regime: str) -> str:
    folds = [fold.name for fold in report.folds]
    rows = []
    for detector in report.detectors:
        found = {row.fold: row for row in report.rows if row.detector == detector and row.regime == regime}
        rows.append([detector, *(_both(found[fold].f1, found[fold].roc_auc) if fold in found else "-" for fold in folds)])
    return _table(["detector", *folds], rows)


def _event_table(report: ProtocolReport) -> str:
    header = ["fold", "detector", "F1 95 % interval", "episodes", "found", "median ms", "p95 ms", "false alarms/h"]
    rows = [_event_cells(row) for row in report.rows if row.regime == "source" and row.detector in report.models]
    return _table(header, rows)


def _event_cells(row: FoldRow) -> list[str]:
    low, high = row.f1_interval
    events = row.events
    return [
        row.fold,
        row.detector,
        f"{figure(low)} to {figure(high)}",
        figure(events.episodes, 0),
        figure(events.episodes_detected, 1),
        figure(events.time_to_detection_median_ms, 0),
        figure(events.time_to_detection_p95_ms, 0),
        figure(events.false_alarms_per_hour, 1),
    ]


def _by_capture(report: ProtocolReport, detector: str, regime: str, capture: str) -> list[CaptureRow]:
    return [row for row in report.captures if (row.detector, row.regime, row.capture) == (detector, regime, capture)]


def _windows(report: ProtocolReport, capture: str) -> WindowMetrics | None:
    """What the first detector did on a capture; None: it judged no window of it."""
    firsts = _by_capture(report, report.detectors[0], "source", capture)
    return firsts[0].metrics if firsts else None


def _mean_f1_and_auc(rows: list[CaptureRow]) -> str:
    known = [row.metrics for row in rows if row.metrics]
    return _both(_averaged(of.f1 for of in known), _averaged(of.roc_auc for of in known))


def _mean_fpr(rows: list[CaptureRow]) -> str:
    return figure(_averaged(row.metrics.fpr for row in rows if row.metrics))


def _averaged(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _attack_table(report: ProtocolReport) -> str:
    rows = []
    for capture in report.names:
        first = _windows(report, capture)
        if first is None or not first.attack_windows:
            continue
        cells = [_mean_f1_and_auc(_by_capture(report, detector, "source", capture)) for detector in report.detectors]
        rows.append([capture, str(first.attack_windows), *cells])
    return _table(["capture", "attack windows", *report.detectors], rows)


def _free_table(report: ProtocolReport) -> str:
    rows = []
    for capture in report.names:
        first = _windows(report, capture)
        if first is None or first.attack_windows:
            continue
        cells = [_mean_fpr(_by_capture(report, name, regime, capture)) for regime in SHOWN for name in report.models]
        others = [_mean_fpr(_by_capture(report, name, "source", capture)) for name in report.baselines]
        rows.append([capture, str(first.windows), *cells, *others])
    header = [f"{detector} {regime}" for regime in SHOWN for detector in report.models]
    return _table(["capture", "windows", *header, *report.baselines], rows)


def _audit_table(report: ProtocolReport) -> str:
    rows = [[overlap.first, overlap.second, figure(overlap.share, 3)] for overlap in report.overlaps]
    return _table(["capture", "shares with", "of the smaller one's n-grams"], rows) if rows else "None."


def _folds(report: ProtocolReport) -> str:
    lines = []
    for fold in report.folds:
        copies = sum("#" in name for name in fold.train)
        lines.append(
            f"- **{fold.name}**: trained on {len(fold.train) - copies} captures and {copies} copies with synthetic "
            f"attacks, tested on {len(fold.test)}: {', '.join(fold.test)}"
        )
        lines += [f"  - left out: {name} {reason}" for name, reason in fold.left_out.items()]
    return "\n".join(lines)

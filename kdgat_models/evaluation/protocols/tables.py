"""The report of a protocol as Markdown tables."""

from typing import Any

from kdgat_models.evaluation.protocols.report import REGIMES, RULES

SHOWN = ("source", "adapted_normal", "adapted_capture")  # in the tables; the budget is in report.json too


def markdown(report: dict[str, Any]) -> str:
    """All of a report that people read."""
    parts = [
        f"# {report['protocol']}, version {report['version']}",
        report["states"],
        f"Datasets: {', '.join(report['datasets'])}. Seeds: {report['seeds']}. Windows of {report['window_size']} frames.",
        "## Thresholds\n\n" + "\n".join(f"- **{name}**: {text}" for name, text in regimes(report["rule"]).items()),
        "## Mean over folds\n\n" + _macro_table(report),
        "## F1 / ROC-AUC by fold (threshold: source)\n\n" + _fold_table(report, "source"),
        "## F1 / ROC-AUC by fold (threshold: adapted_normal)\n\n" + _fold_table(report, "adapted_normal"),
        "## Events by fold (threshold: source)\n\n" + _event_table(report),
        "## Captures with attacks: F1 / ROC-AUC, mean over seeds (threshold: source)\n\n" + _attack_table(report),
        "## Attack-free captures: share of windows flagged\n\n" + _free_table(report),
        "## Captures that share content\n\n" + _audit_table(report),
        "## What was trained on what\n\n" + _folds(report),
    ]
    if report["notes"]:
        parts.append("## Not calibrated, or without a clock\n\n" + "\n".join(f"- {note}" for note in report["notes"]))
    return "\n\n".join(parts) + "\n"


def regimes(rule: str) -> dict[str, str]:
    """How the thresholds of each regime come about under a decision rule."""
    return {name: text.format(rule=RULES[rule]) for name, text in REGIMES.items()}


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _both(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{figure(row['f1'])} / {figure(row['roc_auc'])}"


def _macro_table(report: dict[str, Any]) -> str:
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
    for detector in report["detectors"]:
        mine = {row["regime"]: row for row in report["macro"] if row["detector"] == detector}
        source = mine["source"]
        parameters = report["parameters"].get(detector)
        f1 = [figure(mine[regime]["f1"]) if regime in mine else "-" for regime in REGIMES]
        tail = [figure(source[name]) for name in ("roc_auc", "fpr", "episode_recall")]
        rows.append(
            [detector, f"{parameters:,}" if parameters else "-", *f1, *tail, figure(source["false_alarms_per_hour"], 1)]
        )
    return _table(header, rows)


def _fold_table(report: dict[str, Any], regime: str) -> str:
    folds = [fold["name"] for fold in report["folds"]]
    rows = []
    for detector in report["detectors"]:
        found = {row["fold"]: row for row in report["rows"] if row["detector"] == detector and row["regime"] == regime}
        rows.append([detector, *(_both(found.get(fold)) for fold in folds)])
    return _table(["detector", *folds], rows)


def _event_table(report: dict[str, Any]) -> str:
    header = ["fold", "detector", "F1 95 % interval", "episodes", "found", "median ms", "p95 ms", "false alarms/h"]
    rows = []
    for row in report["rows"]:
        if row["regime"] == "source" and row["detector"] in report["models"]:
            low, high = row["f1_interval"]
            times = [figure(row[f"time_to_detection_{name}_ms"], 0) for name in ("median", "p95")]
            counts = [figure(row["episodes"], 0), figure(row["episodes_detected"], 1)]
            rows.append(
                [
                    row["fold"],
                    row["detector"],
                    f"{figure(low)} to {figure(high)}",
                    *counts,
                    *times,
                    figure(row["false_alarms_per_hour"], 1),
                ]
            )
    return _table(header, rows)


def _by_capture(report: dict[str, Any], detector: str, regime: str, capture: str) -> list[dict[str, Any]]:
    return [
        row for row in report["captures"] if (row["detector"], row["regime"], row["capture"]) == (detector, regime, capture)
    ]


def _averaged(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def _attack_table(report: dict[str, Any]) -> str:
    rows = []
    for capture in report["names"]:
        firsts = _by_capture(report, report["detectors"][0], "source", capture)
        if not firsts or not firsts[0].get("attack_windows"):
            continue
        cells = [
            _both({name: _averaged(_by_capture(report, detector, "source", capture), name) for name in ("f1", "roc_auc")})
            for detector in report["detectors"]
        ]
        rows.append([capture, str(firsts[0]["attack_windows"]), *cells])
    return _table(["capture", "attack windows", *report["detectors"]], rows)


def _free_table(report: dict[str, Any]) -> str:
    rows = []
    for capture in report["names"]:
        firsts = _by_capture(report, report["detectors"][0], "source", capture)
        if not firsts or firsts[0].get("attack_windows", 1):
            continue
        cells = [
            figure(_averaged(_by_capture(report, detector, regime, capture), "fpr"))
            for regime in SHOWN
            for detector in report["models"]
        ]
        others = [
            figure(_averaged(_by_capture(report, detector, "source", capture), "fpr")) for detector in report["baselines"]
        ]
        rows.append([capture, str(firsts[0]["windows"]), *cells, *others])
    header = [f"{detector} {regime}" for regime in SHOWN for detector in report["models"]]
    return _table(["capture", "windows", *header, *report["baselines"]], rows)


def _audit_table(report: dict[str, Any]) -> str:
    rows = [[overlap["first"], overlap["second"], figure(overlap["share"], 3)] for overlap in report["overlaps"]]
    return _table(["capture", "shares with", "of the smaller one's n-grams"], rows) if rows else "None."


def _folds(report: dict[str, Any]) -> str:
    lines = []
    for fold in report["folds"]:
        copies = sum("#" in name for name in fold["train"])
        lines.append(
            f"- **{fold['name']}**: trained on {len(fold['train']) - copies} captures and {copies} copies with synthetic "
            f"attacks, tested on {len(fold['test'])}: {', '.join(fold['test'])}"
        )
        lines += [f"  - left out: {name} {reason}" for name, reason in fold["left_out"].items()]
    return "\n".join(lines)

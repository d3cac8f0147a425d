"""The figures of an ablation, as a table in Markdown and as a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdgat_models.evaluation.ablation.effects import LEVEL, RESAMPLES
from kdgat_models.evaluation.ablation.rows import AblationReport, Effect, LevelRow, Spread
from kdgat_models.files import atomic_path

COLUMNS: tuple[str, ...] = ("factor", "level", "F1", "effect on F1", "ROC-AUC", "effect on ROC-AUC")
NO_INTERVAL = "No interval: it takes two seeds and two folds to see how far effects scatter."
SURE, UNSURE, BASE = "#1f5fa8", "#8a94a0", "#222222"  # interval without zero, with zero or none, the base


def markdown(report: AblationReport) -> str:
    """`report` with one table."""
    lines = [
        f"# Ablation: {report.protocol}",
        "",
        "One choice at a time is changed in the base: the smallest classifier of the default method, without a teacher. "
        f"{_counted(report.folds, 'fold')} ({', '.join(report.folds)}), {_counted(report.seeds, 'seed')}.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(row_cells(row))} |" for row in report.rows),
        "",
        "F1 and ROC-AUC: mean over folds of all their test windows, mean ± standard deviation over seeds. Thresholds are those "
        "of highest F1 on calibration windows. Effect: level minus base, mean over pairs of equal fold and seed.",
        "",
        _about_intervals(report.interval),
        "",
    ]
    return "\n".join(lines)


def row_cells(row: LevelRow) -> tuple[str, ...]:
    """A row of the table as texts, one for each of `COLUMNS`."""
    effects = row.effect
    return (
        row.factor,
        f"{row.level} (base)" if row.base else row.level,
        _spread(row.f1),
        _effect(effects.f1) if effects else "-",
        _spread(row.roc_auc),
        _effect(effects.roc_auc) if effects else "-",
    )


def plot_effects(rows: Sequence[LevelRow], title: str, paths: Sequence[Path]) -> None:
    """Draw the effects on F1, grouped by factor, into files of the kinds that their suffixes name."""
    import matplotlib as mpl
    from matplotlib.figure import Figure  # without pyplot: no window, no state, and files by the Agg and SVG backends

    places = _places(rows)
    figure = Figure(figsize=(8, 1.3 + 0.24 * (max(places) + 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=BASE, linewidth=0.8, zorder=1)
    for place, row in zip(places, rows, strict=True):
        _draw(axes, place, row)
    axes.set_yticks(places, [f"{row.factor}: {row.level}" if row.base else row.level for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row.base else "normal")
    axes.set_ylim(max(places) + 0.8, -0.8)
    axes.set_xlabel("effect on F1 (level minus base)" + ("" if _any_interval(rows) else "; no intervals"))
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#e4e4e4")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    with mpl.rc_context({"svg.hashsalt": "kdgat"}):  # equal figures are equal files
        for path in paths:
            kind = path.suffix.removeprefix(".")
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def _places(rows: Sequence[LevelRow]) -> list[float]:
    """Where each row stands, from the top: factors lie apart."""
    places, place = [], -1.0
    for number, row in enumerate(rows):
        place += 1.0 if not row.base or number == 0 else 1.7
        places.append(place)
    return places


def _draw(axes: Any, place: float, row: LevelRow) -> None:
    if row.effect is None:
        axes.plot(0, place, marker="D", color=BASE, markersize=5, zorder=3)
        return
    value, low, high = row.effect.f1
    if value is None:
        axes.text(0, place, " undefined", va="center", fontsize="small", color=UNSURE)
        return
    colour = UNSURE
    if low is not None and high is not None:
        colour = SURE if low > 0 or high < 0 else UNSURE
        axes.hlines(place, low, high, color=colour, linewidth=2, zorder=2)
    axes.plot(value, place, marker="o", color=colour, markersize=6, zorder=3)


def _counted(things: Sequence[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _any_interval(rows: Sequence[LevelRow]) -> bool:
    return any(row.effect and row.effect.f1.low is not None for row in rows)


def _about_intervals(there_are: bool) -> str:
    if not there_are:
        return NO_INTERVAL
    return f"Intervals hold {LEVEL:.0%} of {RESAMPLES} resamples of the pairs, which are taken for independent."


def _spread(figure: Spread) -> str:
    if figure.mean is None:
        return "-"
    return f"{figure.mean:.4f}" + (f" ± {figure.std:.4f}" if figure.std is not None else "")


def _effect(found: Effect) -> str:
    if found.value is None:
        return "-"
    ends = f" ({found.low:+.4f} to {found.high:+.4f})" if found.low is not None else ""
    return f"{found.value:+.4f}{ends}"

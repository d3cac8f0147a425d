"""What an ablation says, in memory and in `report.json`."""

from typing import Any, Literal, NamedTuple

SCORE = "score.json"  # file of one score
Metric = Literal["f1", "roc_auc"]


class Score(NamedTuple):
    """One detector, trained with one seed, on the test windows of one fold; a metric without both classes is None."""

    fold: str
    seed: int
    f1: float | None
    roc_auc: float | None


class Spread(NamedTuple):
    """Over seeds, of the mean over folds."""

    mean: float | None
    std: float | None  # of a sample; None with one seed


class Effect(NamedTuple):
    """Level minus base, mean over the pairs, and the ends of its interval; None without two folds and two seeds."""

    value: float | None
    low: float | None
    high: float | None


class Effects(NamedTuple):
    """On each metric."""

    f1: Effect
    roc_auc: Effect


class LevelRow(NamedTuple):
    """One level of a factor."""

    factor: str
    level: str
    base: bool  # whether it is the one that the others are compared with
    f1: Spread
    roc_auc: Spread
    effect: Effects | None  # None for the base

    def as_json(self) -> dict[str, Any]:
        """The row as it stands in `report.json`."""
        effects = self.effect and {metric: found._asdict() for metric, found in self.effect._asdict().items()}
        return {**self._asdict(), "f1": self.f1._asdict(), "roc_auc": self.roc_auc._asdict(), "effect": effects}


class AblationReport(NamedTuple):
    """What came of an ablation, in the order of `report.json`."""

    protocol: str
    folds: list[str]
    seeds: list[int]
    interval: bool  # whether effects have one
    rows: list[LevelRow]
    runs: dict[str, list[Score]]  # by name of the run

    def as_json(self) -> dict[str, Any]:
        """The content of `report.json`."""
        runs = {run: [score._asdict() for score in of_run] for run, of_run in self.runs.items()}
        return {**self._asdict(), "rows": [row.as_json() for row in self.rows], "runs": runs}

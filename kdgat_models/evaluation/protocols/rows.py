"""The rows of the report of a protocol, each with the form that it has in `report.json`."""

from typing import NamedTuple

from kdgat_models.evaluation.episodes import EventMetrics
from kdgat_models.evaluation.rows import WindowMetrics

Cell = str | int | float | list[float | None] | None
Ends = tuple[float | None, float | None]  # low and high of a 95 % interval; None: see bootstrap.interval


class CaptureRow(NamedTuple):
    """What a detector, trained on one fold with one seed, did on one test capture at the thresholds of one regime."""

    fold: str
    seed: int
    detector: str
    regime: str
    capture: str
    metrics: WindowMetrics | None  # None: no window of it is judged
    events: EventMetrics

    def as_json(self) -> dict[str, Cell]:
        """The row as it stands in `report.json`: flat, without metrics where there are none."""
        row = self._asdict()
        del row["metrics"], row["events"]
        return {**row, **(self.metrics.by_name() if self.metrics else {}), **self.events._asdict()}


class FoldRow(NamedTuple):
    """What a detector did on one fold in one regime: all its seeds, and all windows of the test captures together."""

    fold: str
    detector: str
    regime: str
    seeds: int
    f1: float | None  # mean over seeds, as all that follow
    f1_interval: Ends
    roc_auc: float | None
    roc_auc_interval: Ends
    f1_by_seed: list[float | None]
    roc_auc_by_seed: list[float | None]
    precision: float | None
    recall: float | None
    fpr: float | None
    events: EventMetrics

    def as_json(self) -> dict[str, Cell]:
        """The row as it stands in `report.json`: flat."""
        row = self._asdict()
        del row["events"]
        ends = {"f1_interval": list(self.f1_interval), "roc_auc_interval": list(self.roc_auc_interval)}
        return {**row, **ends, **self.events._asdict()}


class MacroRow(NamedTuple):
    """Mean over folds of a detector in one regime."""

    detector: str
    regime: str
    folds: int
    f1: float | None
    roc_auc: float | None
    precision: float | None
    recall: float | None
    fpr: float | None
    episode_recall: float | None
    false_alarms_per_hour: float | None
    f1_by_seed: list[float | None]

"""The rows of an evaluation: metrics of a model on windows, in memory and as they stand in files."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

ALL = "all"  # what rows of windows of any attack are called

Scalar = str | int | float | None  # what a cell of a report holds


class WindowMetrics(NamedTuple):
    """How the verdicts on windows, at one threshold, agree with their labels."""

    windows: int
    attack_windows: int
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    specificity: float | None
    balanced_accuracy: float | None
    mcc: float | None
    fpr: float | None
    fnr: float | None
    kappa: float | None
    roc_auc: float | None
    pr_auc: float | None
    detection_rate_at_5pct_fpr: float | None
    detection_rate_at_1pct_fpr: float | None
    detection_rate_at_0_1pct_fpr: float | None

    def by_name(self) -> dict[str, int | float | None]:
        """The metrics by the names that they have in reports and tables."""
        return {METRIC_NAMES[field]: value for field, value in self._asdict().items()}


# The field of each metric -> its name in files; a field's name can have no point.
METRIC_NAMES = {field: field.replace("0_1pct", "0.1pct") for field in WindowMetrics._fields}


class EvaluationRow(NamedTuple):
    """The metrics of one model on the windows of a split, all or those of one attack type."""

    variant: str
    model: str  # vgae, gat or fusion
    split: str
    attack: str  # ALL, or the attack type
    threshold: float
    metrics: WindowMetrics

    def as_json(self) -> dict[str, Scalar]:
        """The row as it stands in files: flat."""
        row = self._asdict()
        del row["metrics"]
        return {**row, **self.metrics.by_name()}


def _with_metrics_apart(row: Any) -> Any:
    """A row as it stands in files, as an `EvaluationRow` is nested; columns that are not known are left out."""
    if not isinstance(row, Mapping):
        return row
    where = {name: row[name] for name in EvaluationRow._fields[:-1] if name in row}
    return {**where, "metrics": {field: row[name] for field, name in METRIC_NAMES.items() if name in row}}


StoredRow = Annotated[EvaluationRow, BeforeValidator(_with_metrics_apart)]  # for records that are read from JSON

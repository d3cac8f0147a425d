"""Whether a detector has become worse: its metrics of tonight beside those of last night and of its registration."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kdgat_models.evaluation.rows import ALL, EvaluationRow

HIGHER_IS_BETTER = {"f1": True, "roc_auc": True, "precision": True, "recall": True, "fpr": False}

Key = tuple[str, str, str]  # split, model, metric
Figures = Mapping[Key, float]


class Comparison(NamedTuple):
    """One metric of one model on one split."""

    split: str
    model: str
    metric: str
    value: float | None
    at_registration: float | None
    last_night: float | None
    loss: float  # against the better of the two; negative: it is better than both
    regression: bool

    def sentence(self, champion: str, dataset: str) -> str:
        """What is worse, by how much."""
        known = {"at registration": self.at_registration, "last night": self.last_night}
        before = ", ".join(f"{value:.4f} {when}" for when, value in known.items() if value is not None)
        now = "undefined" if self.value is None else f"{self.value:.4f}"
        where = f"{champion}: {self.model} on {dataset} {self.split}"
        return f"{where}: {self.metric} {now}, was {before} (worse by {self.loss:.4f})"


def figures(rows: Sequence[EvaluationRow]) -> dict[Key, float]:
    """The metrics that are compared, and the share of flagged windows, of the rows of an evaluation."""
    found: dict[Key, float] = {}
    for row in (row for row in rows if row.attack == ALL):
        metrics = row.metrics
        for name, value in metrics.by_name().items():
            if name in HIGHER_IS_BETTER and value is not None:
                found[row.split, row.model, name] = value
        found[row.split, row.model, "flagged"] = (metrics.true_positives + metrics.false_positives) / metrics.windows
    return found


def compare(tonight: Figures, last_night: Figures, at_registration: Figures, tolerance: float) -> list[Comparison]:
    """One comparison per metric that is known tonight or was known before. A metric that is gone counts as lost."""
    compared = []
    for key in sorted({*tonight, *last_night, *at_registration}):
        split, model, metric = key
        value, last, first = tonight.get(key), last_night.get(key), at_registration.get(key)
        before = [known for known in (last, first) if known is not None]
        loss = max((_loss(metric, known, value) for known in before), default=0.0)
        judged = metric in HIGHER_IS_BETTER
        compared.append(Comparison(split, model, metric, value, first, last, loss, judged and loss > tolerance))
    return compared


def _loss(metric: str, before: float, now: float | None) -> float:
    if now is None:
        return 1.0
    return before - now if HIGHER_IS_BETTER.get(metric, True) else now - before

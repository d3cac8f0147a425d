"""Decision thresholds, chosen on calibration windows and saved in the checkpoint; never on test data."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from kdgat_models.errors import DatasetError

FALSE_ALARM_BUDGETS = (0.05, 0.01, 0.001)
EVEN_ODDS = 0.0  # where a classifier whose scores are log-odds changes its mind


def choose_thresholds(scores: NDArray[np.floating], labels: NDArray[np.integer], own: float | None = None) -> dict[str, float]:
    """Thresholds on `scores` [windows]; at or above one, a window is called an attack.

    Args:
        scores: Of calibration windows.
        labels: Of the same windows; 1 is an attack.
        own: See `f1_threshold`.

    Returns:
        `f1`: highest F1, or as good (see `f1_threshold`). `fpr_0.05`, `fpr_0.01`, `fpr_0.001`: a normal window is called an
        attack with at most that probability. Without attack windows to calibrate on, `f1` is `fpr_0.001`, the only choice
        that is left.

    Raises:
        DatasetError: there is no normal window.
    """
    normal = np.asarray(scores, np.float64)[labels == 0]
    if not len(normal):
        raise DatasetError("no normal calibration window to choose a threshold on; add attack-free captures")
    budgets = {f"fpr_{budget:g}": false_alarm_threshold(normal, budget) for budget in FALSE_ALARM_BUDGETS}
    f1 = f1_threshold(scores, labels, own) if (labels == 1).any() else budgets["fpr_0.001"]
    return {"f1": f1, **budgets}


def f1_threshold(scores: NDArray[np.floating], labels: NDArray[np.integer], own: float | None = None) -> float:
    """Of all thresholds around the one of highest F1 whose F1 is within a standard error of it, the nearest to `own`.

    The highest F1 is often a matter of a window or two, and holds over a wide gap but for those: where in it the best lies is
    chance. A number of errors k scatters by sqrt(k), so an F1 whose errors are no more than k + sqrt(max(k, 1)) is as good,
    and of all that are as good the one to take is the one that follows the calibration windows least (the
    one-standard-error rule of Breiman et al. 1984, section 3.4.3). For scores that are log-odds that is the classifier's
    own, `EVEN_ODDS`. Without an `own`, for scores of any other kind, it is the middle.
    """
    values = np.asarray(scores, np.float64)
    precision, recall, cuts = precision_recall_curve(labels, values)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    f1, best = f1[:-1], int(np.argmax(f1[:-1]))
    hits = recall[best] * np.sum(labels == 1)
    errors = 2 * hits * (1 / f1[best] - 1)
    bad = np.flatnonzero(f1 < 2 * hits / (2 * hits + errors + np.sqrt(max(errors, 1.0))) - 1e-12)
    low, high = cuts[bad[bad < best].max(initial=-1) + 1], cuts[bad[bad > best].min(initial=len(cuts)) - 1]
    below = values[values < low].max(initial=-np.inf)  # all above it that are no more than `low` do as `low` does
    if own is not None:
        return float(np.clip(own, np.nextafter(below, np.inf), high))
    return float(((below if np.isfinite(below) else low) + high) / 2)


def false_alarm_threshold(normal: NDArray[np.floating], budget: float) -> float:
    """Conformal threshold: a new normal window reaches it with a probability of at most `budget` (Vovk et al. 2005).

    It lies just above the ceil((n + 1)(1 - budget))-th smallest of the n scores in `normal`. That holds for windows that are
    exchangeable with these. Fewer than 1 / budget - 1 scores cannot promise it: the threshold is then above all of them.
    """
    ordered = np.sort(np.asarray(normal, np.float64))
    rank = min(int(np.ceil((len(ordered) + 1) * (1 - budget))), len(ordered))
    return float(np.nextafter(ordered[rank - 1], np.inf))

"""Decision thresholds, chosen on calibration windows and saved in the checkpoint; never on test data."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from kdgat_models.errors import DatasetError

FALSE_ALARM_BUDGETS = (0.05, 0.01, 0.001)


def choose_thresholds(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Thresholds on `scores` [windows]; at or above one, a window is called an attack.

    Returns:
        `f1`: highest F1. `fpr_0.05`, `fpr_0.01`, `fpr_0.001`: a normal window is called an attack with at most that
        probability. Without attack windows to calibrate on, `f1` is `fpr_0.001`, the only choice that is left.

    Raises:
        DatasetError: there is no normal window.
    """
    normal = np.asarray(scores, np.float64)[labels == 0]
    if not len(normal):
        raise DatasetError("no normal calibration window to choose a threshold on; add attack-free captures")
    budgets = {f"fpr_{budget:g}": false_alarm_threshold(normal, budget) for budget in FALSE_ALARM_BUDGETS}
    f1 = f1_threshold(scores, labels) if (labels == 1).any() else budgets["fpr_0.001"]
    return {"f1": f1, **budgets}


def f1_threshold(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The threshold of highest F1, halfway between the last score that it accepts and the first that it does not."""
    values = np.asarray(scores, np.float64)
    precision, recall, cuts = precision_recall_curve(labels, values)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    cut = cuts[int(np.argmax(f1[:-1]))]
    below = values[values < cut]
    return float((cut + below.max()) / 2) if len(below) else float(cut)


def false_alarm_threshold(normal: NDArray[np.floating], budget: float) -> float:
    """Conformal threshold: a new normal window reaches it with a probability of at most `budget` (Vovk et al. 2005).

    It lies just above the ceil((n + 1)(1 - budget))-th smallest of the n scores in `normal`. That holds for windows that are
    exchangeable with these. Fewer than 1 / budget - 1 scores cannot promise it: the threshold is then above all of them.
    """
    ordered = np.sort(np.asarray(normal, np.float64))
    rank = min(int(np.ceil((len(ordered) + 1) * (1 - budget))), len(ordered))
    return float(np.nextafter(ordered[rank - 1], np.inf))

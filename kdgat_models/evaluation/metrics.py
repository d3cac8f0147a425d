"""Metrics of a binary detector over windows. A metric that is undefined (one class only) is None, never NaN."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    matthews_corrcoef,
    roc_auc_score,
    roc_curve,
)

ALL = "all"  # what rows of windows of any attack are called

Metrics = dict[str, float | int | None]


def window_metrics(labels: NDArray[np.integer], scores: NDArray[np.floating], threshold: float) -> Metrics:
    """All metrics of `scores` [windows] (higher is more of an attack) against `labels` [windows] (0 or 1).

    Counts and rates hold at `threshold`; roc_auc, pr_auc and detection_rate_at_* do not depend on it.
    """
    flagged = scores >= threshold
    tn, fp, fn, tp = (int(count) for count in confusion_matrix(labels, flagged, labels=[0, 1]).ravel())
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    both = tp + fn > 0 and tn + fp > 0
    return {
        "windows": len(labels),
        "attack_windows": tp + fn,
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        "accuracy": _ratio(tp + tn, len(labels)),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn) if tp + fn else None,
        "specificity": specificity,
        "balanced_accuracy": (recall + specificity) / 2 if recall is not None and specificity is not None else None,
        "mcc": float(matthews_corrcoef(labels, flagged)) if both else None,
        "fpr": _ratio(fp, fp + tn),
        "fnr": _ratio(fn, fn + tp),
        "kappa": float(cohen_kappa_score(labels, flagged)) if both else None,
        "roc_auc": float(roc_auc_score(labels, scores)) if both else None,
        "pr_auc": float(average_precision_score(labels, scores)) if both else None,
        **_detection_rates(labels, scores, both),
    }


def _detection_rates(labels: NDArray[np.integer], scores: NDArray[np.floating], both: bool) -> Metrics:
    """Share of attack windows found at the highest false-positive rate that does not exceed 5, 1 and 0.1 %."""
    names = {"detection_rate_at_5pct_fpr": 0.05, "detection_rate_at_1pct_fpr": 0.01, "detection_rate_at_0.1pct_fpr": 0.001}
    if not both:
        return dict.fromkeys(names)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return {name: float(tpr[fpr <= limit].max()) for name, limit in names.items()}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None

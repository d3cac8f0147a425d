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

from kdgat_models.evaluation.rows import WindowMetrics


def window_metrics(labels: NDArray[np.integer], scores: NDArray[np.floating], threshold: float) -> WindowMetrics:
    """All metrics of `scores` [windows] (higher is more of an attack) against `labels` [windows] (0 or 1).

    Counts and rates hold at `threshold`; roc_auc, pr_auc and detection_rate_at_* do not depend on it.
    """
    flagged = scores >= threshold
    tn, fp, fn, tp = (int(count) for count in confusion_matrix(labels, flagged, labels=[0, 1]).ravel())
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    both = tp + fn > 0 and tn + fp > 0
    rates = _detection_rates(labels, scores) if both else (None, None, None)
    return WindowMetrics(
        windows=len(labels),
        attack_windows=tp + fn,
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
        accuracy=_ratio(tp + tn, len(labels)),
        precision=_ratio(tp, tp + fp),
        recall=recall,
        f1=_ratio(2 * tp, 2 * tp + fp + fn) if tp + fn else None,
        specificity=specificity,
        balanced_accuracy=(recall + specificity) / 2 if recall is not None and specificity is not None else None,
        mcc=float(matthews_corrcoef(labels, flagged)) if both else None,
        fpr=_ratio(fp, fp + tn),
        fnr=_ratio(fn, fn + tp),
        kappa=float(cohen_kappa_score(labels, flagged)) if both else None,
        roc_auc=float(roc_auc_score(labels, scores)) if both else None,
        pr_auc=float(average_precision_score(labels, scores)) if both else None,
        detection_rate_at_5pct_fpr=rates[0],
        detection_rate_at_1pct_fpr=rates[1],
        detection_rate_at_0_1pct_fpr=rates[2],
    )


def _detection_rates(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> tuple[float, float, float]:
    """Share of attack windows found at the highest false-positive rate that does not exceed 5, 1 and 0.1 %."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    at_5, at_1, at_01 = (float(tpr[fpr <= limit].max()) for limit in (0.05, 0.01, 0.001))
    return at_5, at_1, at_01


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None

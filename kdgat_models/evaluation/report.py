"""Metrics of several detectors over a split: over all of it, and for each attack type in it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.evaluation.metrics import ALL, window_metrics
from kdgat_models.graphs.store import GraphStore


class Detector(NamedTuple):
    """Scores of one model on the windows of a split, its threshold, and the temperature that makes log-odds of its scores."""

    model: str
    scores: NDArray[np.float64]
    threshold: float
    temperature: float | None = None


def split_report(split: str, store: GraphStore, detectors: list[Detector]) -> list[dict[str, Any]]:
    """One row per detector and attack type: `model`, `split`, `attack`, `threshold` and all window metrics.

    The rows of an attack type cover the captures that carry it, normal windows included; `all` covers the split.
    """
    capture_attacks = np.array([capture.attack_type for capture in store.captures])
    window_attacks = capture_attacks[store.capture]
    rows = []
    for detector in detectors:
        for attack in [ALL, *sorted(set(capture_attacks) - {"none"})]:
            chosen = np.ones(len(store), bool) if attack == ALL else window_attacks == attack
            if not chosen.any():
                continue
            metrics = window_metrics(store.label[chosen], detector.scores[chosen], detector.threshold)
            rows.append({"model": detector.model, "split": split, "attack": attack, "threshold": detector.threshold, **metrics})
    return rows

"""Metrics of several detectors over a split: over all of it, and for each attack type in it."""

import numpy as np

from kdgat_models.decision import DetectorScores
from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.rows import ALL, EvaluationRow
from kdgat_models.graphs.store import GraphStore


def split_report(variant: str, split: str, store: GraphStore, detectors: list[DetectorScores]) -> list[EvaluationRow]:
    """One row per detector of `variant` and attack type.

    The rows of an attack type cover the captures that carry it, normal windows included; `all` covers the split.
    """
    capture_attacks = np.array([capture.attack_type for capture in store.captures])
    window_attacks = capture_attacks[store.capture]
    rows: list[EvaluationRow] = []
    for detector in detectors:
        for attack in [ALL, *sorted(set(capture_attacks) - {"none"})]:
            chosen = np.ones(len(store), bool) if attack == ALL else window_attacks == attack
            if not chosen.any():
                continue
            metrics = window_metrics(store.label[chosen], detector.scores[chosen], detector.threshold)
            rows.append(EvaluationRow(variant, detector.model, split, attack, detector.threshold, metrics))
    return rows

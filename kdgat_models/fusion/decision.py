"""The decision of a trained fusion."""

from collections.abc import Mapping

import numpy as np

from kdgat_models.decision import Decision, ScoreScale
from kdgat_models.evaluation.adaptation import UPPER_QUANTILE
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.fusion.method import FusionData, FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.splits import CALIBRATION


def fusion_decision(
    method: FusionMethod, held_out: FusionData, dataset: GraphDataset, scales: Mapping[str, ScoreScale]
) -> Decision:
    """Thresholds on the score of a fusion, from those of the calibration windows that may choose one.

    Args:
        method: Trained.
        held_out: Of all calibration windows of the training store, in their order.
        dataset: Whose windows they are.
        scales: Of the scores of its base models.

    Raises:
        DatasetError: there is no normal window among them.
        NonFiniteError: the method gives a score that is not finite.
    """
    windows = dataset.train.windows(CALIBRATION)
    decisive = np.isin(windows, calibration_windows(dataset.train, len(windows)))
    scores = fused_scores(method, held_out.inputs, Origin(dataset.train, windows))
    chosen, labels = scores[decisive], held_out.label.numpy()[decisive]
    thresholds = choose_thresholds(chosen, labels)
    return Decision(thresholds, normal_upper=float(np.quantile(chosen[labels == 0], UPPER_QUANTILE)), scales=scales)

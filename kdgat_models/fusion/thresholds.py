"""The thresholds of a trained fusion."""

import numpy as np

from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.fusion.method import FusionData, FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.splits import CALIBRATION


def fusion_thresholds(method: FusionMethod, held_out: FusionData, dataset: GraphDataset) -> dict[str, float]:
    """Thresholds on the score of a fusion, from those of the calibration windows that may choose one.

    Args:
        method: Trained.
        held_out: Of all calibration windows of the training store, in their order.
        dataset: Whose windows they are.

    Raises:
        DatasetError: there is no normal window among them.
        NonFiniteError: the method gives a score that is not finite.
    """
    windows = dataset.train.windows(CALIBRATION)
    decisive = np.isin(windows, calibration_windows(dataset.train, len(windows)))
    scores = fused_scores(method, held_out.inputs, Origin(dataset.train, windows))
    return choose_thresholds(scores[decisive], held_out.label.numpy()[decisive])

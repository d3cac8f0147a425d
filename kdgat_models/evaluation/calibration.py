"""On which windows thresholds are chosen, and how sure a score is: temperature scaling."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from torch import nn

from kdgat_models.decision import Decision
from kdgat_models.evaluation.adaptation import UPPER_QUANTILE
from kdgat_models.evaluation.thresholds import EVEN_ODDS, choose_thresholds
from kdgat_models.extraction.extract import Extractor, extract
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION
from kdgat_models.graphs.store import GraphStore
from kdgat_models.training.objective import spread

MOST_WINDOWS = 8192  # spread evenly; more do not move a threshold

Scores = NDArray[np.float64]


def calibration_windows(store: GraphStore, most: int = MOST_WINDOWS) -> NDArray[np.int64]:
    """Indices of the windows that thresholds and temperatures are chosen on: calibration windows as they were recorded.

    Synthetic attacks are for learning. Some of them hide better than any attack that was ever recorded, and there are more of
    them than of those: a threshold of highest F1 would pay for them with false alarms. Only where no attack was
    recorded do they decide.
    """
    windows = store.windows(CALIBRATION)
    recorded = np.array([capture.recorded for capture in store.captures], bool)
    as_recorded = windows[recorded[store.capture[windows]]]
    both = len(np.unique(store.label[as_recorded])) == 2
    return spread(as_recorded if both else windows, most)


def temperature(scores: Scores, labels: NDArray[np.integer]) -> float:
    """The T that makes sigmoid(score / T) the most likely (Guo et al. 2017, section 4.2); 1 if one class is missing."""
    if not (labels == 1).any() or not (labels == 0).any():
        return 1.0
    signs = np.where(labels == 1, scores, -scores)
    result = minimize_scalar(lambda log_t: float(np.logaddexp(0, -signs * np.exp(-log_t)).mean()), bounds=(-4, 6))
    return float(np.exp(result.x))


def probability(scores: Scores, temperature: float) -> Scores:
    """Calibrated probability of an attack."""
    return np.asarray(expit(scores / temperature))


def calibrated(network: nn.Module, extractor: Extractor, dataset: GraphDataset) -> Decision:
    """Thresholds of a base model, and its temperature if its score is a log-odds: all from calibration windows.

    Raises:
        DatasetError: there is no normal calibration window.
        NonFiniteError: the network gives a score that is not finite.
    """
    windows = calibration_windows(dataset.train)
    scores, labels = extract(network, extractor, dataset.train_data(), windows).scores, dataset.train.label[windows]
    upper = float(np.quantile(scores[labels == 0], UPPER_QUANTILE))
    if extractor.log_odds:
        return Decision(choose_thresholds(scores, labels, EVEN_ODDS), temperature(scores, labels), upper)
    return Decision(choose_thresholds(scores, labels), normal_upper=upper)

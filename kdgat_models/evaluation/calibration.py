"""How sure a score is: temperature scaling on calibration windows."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

Scores = NDArray[np.float64]


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

"""What is learnt of scores on calibration windows beside thresholds: their temperature, and what is normal."""

from typing import NamedTuple

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
    return expit(scores / temperature)


class Normality(NamedTuple):
    """Where the scores of normal windows lie: centre, and spread above it."""

    centre: float
    spread: float

    @classmethod
    def of(cls, scores: Scores) -> "Normality":
        """Median, and distance to the upper quartile; both ignore whatever attacks less than a quarter of the windows."""
        centre, upper = np.quantile(scores, [0.5, 0.75])
        return cls(float(centre), float(max(upper - centre, 1e-6)))

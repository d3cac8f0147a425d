"""Running means and mean squares of an ID, and how far a value lies beyond them."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.graphs.relative_state import MEAN, MEAN_SQUARE


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _deviation(moments: NDArray[np.float32]) -> float:
    """Running standard deviation; a variance of one is added, so that a first small change is no wonder."""
    return math.sqrt(max(moments[MEAN_SQUARE] - moments[MEAN] * moments[MEAN], 0.0) + 1.0)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def standardised(moments: NDArray[np.float32], value: float) -> float:
    """Signed log2 |z|, 0 within one standard deviation."""
    difference = value - moments[MEAN]
    if -1.0 <= difference <= 1.0:  # the deviation is at least one
        return 0.0
    z = difference / _deviation(moments)
    return math.log2(z) if z > 1.0 else -math.log2(-z) if z < -1.0 else 0.0


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def excess(moments: NDArray[np.float32], value: float) -> float:
    """log2(1 + what `value` has beyond the mean and two standard deviations)."""
    beyond = value - moments[MEAN]
    if beyond <= 2.0:  # the deviation is at least one
        return 0.0
    return math.log2(1.0 + max(beyond - 2.0 * _deviation(moments), 0.0))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def learn(moments: NDArray[np.float32], value: float, rate: float) -> None:
    """Move the running mean and mean square towards `value`."""
    moments[MEAN] += rate * (value - moments[MEAN])
    moments[MEAN_SQUARE] += rate * (value * value - moments[MEAN_SQUARE])

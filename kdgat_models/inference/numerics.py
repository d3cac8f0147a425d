"""What compiled networks are made of: exponentials, softmax. Single precision, sums always in the same order."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

FAST = {"reassoc", "contract", "nsz"}  # sums may be split over lanes, always in the same way; NaN stays NaN
TINY = np.float32(1e-16)  # torch-geometric's softmax adds it to its denominator
LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)

Floats = NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def exp(x: Any) -> Any:
    """e^x to two units in the last place, 0 below the normal numbers: range reduction and a polynomial (Cephes, Moshier 1989).

    The library's function is called for one number at a time; this is compiled for sixteen.
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * LOG2_E + np.float32(0.5))
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * r * r + r + np.float32(1.0)) * power


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def elu(h: Floats) -> None:
    """Clevert et al. 2016, in place."""
    flat = h.reshape(-1)
    for i in range(len(flat)):
        x = flat[i]
        below = exp(min(x, np.float32(0.0))) - np.float32(1.0)
        flat[i] = x if x > 0 else below


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def softmax(score: Floats, begin: int, end: int) -> None:
    """Over the rows from `begin` to `end` of [n, heads], in place."""
    heads = score.shape[1]
    for h in range(heads):
        most = score[begin, h]
        for p in range(begin, end):
            most = max(most, score[p, h])
        for p in range(begin, end):
            score[p, h] -= most
    flat = score.reshape(-1)
    for i in range(begin * heads, end * heads):
        flat[i] = exp(flat[i])
    for h in range(heads):
        total = TINY
        for p in range(begin, end):
            total += score[p, h]
        scale = np.float32(1) / total
        for p in range(begin, end):
            score[p, h] *= scale

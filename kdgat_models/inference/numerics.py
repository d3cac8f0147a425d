"""What compiled networks are made of: products, exponentials, softmax. Single precision, sums always in the same order."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

FAST = {"reassoc", "contract", "nsz"}  # sums may be split over lanes, always in the same way; NaN stays NaN
TINY = np.float32(1e-16)  # torch-geometric's softmax adds it to its denominator
LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)

Floats = NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def product(a: Floats, b: Floats, out: Floats) -> None:
    """out += a @ b, for [n, k], [k, m] and [n, m]: four rows by four columns of `a` at a time."""
    n, K = a.shape
    m = out.shape[1]
    for i in range(0, n - n % 4, 4):
        o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for k in range(0, K - K % 4, 4):
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            a00, a01, a02, a03 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a10, a11, a12, a13 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            a20, a21, a22, a23 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            a30, a31, a32, a33 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            for j in range(m):
                x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]
                o0[j] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                o1[j] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                o2[j] += a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                o3[j] += a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
        for k in range(K - K % 4, K):
            b0, a00, a10, a20, a30 = b[k], a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            for j in range(m):
                o0[j] += a00 * b0[j]
                o1[j] += a10 * b0[j]
                o2[j] += a20 * b0[j]
                o3[j] += a30 * b0[j]
    for i in range(n - n % 4, n):
        for k in range(K):
            for j in range(m):
                out[i, j] += a[i, k] * b[k, j]


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
def softmax(score: Floats) -> None:
    """Over the first axis of [n, heads], in place."""
    for h in range(score.shape[1]):
        most = score[0, h]
        for p in range(len(score)):
            most = max(most, score[p, h])
        for p in range(len(score)):
            score[p, h] -= most
    flat = score.reshape(-1)
    for i in range(len(flat)):
        flat[i] = exp(flat[i])
    for h in range(score.shape[1]):
        total = TINY
        for p in range(len(score)):
            total += score[p, h]
        for p in range(len(score)):
            score[p, h] /= total

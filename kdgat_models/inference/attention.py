"""Attention from node to node within a window, as machine code: one function for each kind of convolution.

Columns of `projected` [nodes, columns] are what each node was made into, see `packed.Layer`. Messages are summed node by node,
in the order of the edges; PyTorch goes edge by edge, which shows in the last digits.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.inference.lanes import add_scaled, dot
from kdgat_models.inference.numerics import FAST, Floats, softmax

SLOPE = np.float32(0.2)  # of the leaky ReLU

Ints = NDArray[np.int32]


class Incoming(NamedTuple):
    """The edges of a window by their target, with the loop of each node as its last."""

    begin: Ints  # [nodes + 1]
    source: Ints  # [edges]
    edge: Ints  # [edges], row of the features, -1 of a loop that was added
    score: Floats  # [edges, heads]


@numba.njit(cache=True, nogil=True)
def sort_incoming(source: Ints, target: Ints, n: int, replace: int, incoming: Incoming) -> None:
    """Sort the edges of a window by their targets, in their order, and add the loops."""
    begin = incoming.begin
    begin[: n + 1] = 0
    for e in range(len(source)):
        if not (replace and source[e] == target[e]):
            begin[target[e] + 1] += 1
    for i in range(n):
        begin[i + 1] += begin[i] + 1
    free = begin[:n].copy()
    for e in range(len(source)):
        if not (replace and source[e] == target[e]):
            place = free[target[e]]
            incoming.source[place], incoming.edge[place] = source[e], e
            free[target[e]] += 1
    for i in range(n):
        incoming.source[free[i]], incoming.edge[free[i]] = i, -1


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def transformer(projected: Floats, incoming: Incoming, attr: Floats, edge: Floats, out: Floats) -> None:
    """out += messages, Shi et al. 2021, eq. 3-4."""
    n, width = out.shape
    D, H = len(edge), incoming.score.shape[1]
    C, columns = width // H, projected.shape[1]
    flat, features, rows, maps = projected.reshape(-1), attr.reshape(-1), out.reshape(-1), edge.reshape(-1)
    edge_sum = np.empty(D, np.float32)
    for i in range(n):
        begin, end = incoming.begin[i], incoming.begin[i + 1]
        query = i * columns
        for p in range(begin, end):
            key, e = incoming.source[p] * columns + width, incoming.edge[p]
            for h in range(H):
                score = dot(flat, query + h * C, flat, key + h * C, C)
                if e >= 0:
                    score += dot(flat, query + 4 * width + h * D, features, e * D, D)
                incoming.score[p, h] = score
        softmax(incoming.score, begin, end)
        add_scaled(np.float32(1), flat, query + 3 * width, rows, i * width, width)
        for h in range(H):
            edge_sum[:] = 0
            for p in range(begin, end):
                weight, value = incoming.score[p, h], incoming.source[p] * columns + 2 * width
                add_scaled(weight, flat, value + h * C, rows, i * width + h * C, C)
                if incoming.edge[p] >= 0:
                    add_scaled(weight, features, incoming.edge[p] * D, edge_sum, 0, D)
            for d in range(D):
                add_scaled(edge_sum[d], maps, d * width + h * C, rows, i * width + h * C, C)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def gatv2(projected: Floats, incoming: Incoming, attr: Floats, edge: Floats, attention: Floats, out: Floats) -> None:
    """out += messages, Brody et al. 2022, eq. 7; `attention` [width]."""
    n, width = out.shape
    D, H = len(edge), incoming.score.shape[1]
    C, columns = width // H, projected.shape[1]
    flat, maps = projected.reshape(-1), edge.reshape(-1)
    mixed = np.empty(width, np.float32)
    for i in range(n):
        begin, end = incoming.begin[i], incoming.begin[i + 1]
        for p in range(begin, end):
            mixed[:] = 0
            add_scaled(np.float32(1), flat, i * columns + width, mixed, 0, width)
            add_scaled(np.float32(1), flat, incoming.source[p] * columns, mixed, 0, width)
            if incoming.edge[p] >= 0:
                for d in range(D):
                    add_scaled(attr[incoming.edge[p], d], maps, d * width, mixed, 0, width)
            for c in range(width):
                mixed[c] = max(mixed[c], SLOPE * mixed[c])
            for h in range(H):
                incoming.score[p, h] = dot(attention, h * C, mixed, h * C, C)
        _heard(projected, incoming, i, out)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def gat(projected: Floats, incoming: Incoming, out: Floats) -> None:
    """out += messages, Velickovic et al. 2018, eq. 1-6."""
    n, width = out.shape
    H = incoming.score.shape[1]
    for i in range(n):
        for p in range(incoming.begin[i], incoming.begin[i + 1]):
            for h in range(H):
                x = projected[incoming.source[p], width + h] + projected[i, width + H + h]
                incoming.score[p, h] = max(x, SLOPE * x)
        _heard(projected, incoming, i, out)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _heard(projected: Floats, incoming: Incoming, node: int, out: Floats) -> None:
    """out[node] += the first `width` columns of the sources, weighed by the softmax of their scores."""
    width, columns, H = out.shape[1], projected.shape[1], incoming.score.shape[1]
    C, flat, rows = width // H, projected.reshape(-1), out.reshape(-1)
    begin, end = incoming.begin[node], incoming.begin[node + 1]
    softmax(incoming.score, begin, end)
    for p in range(begin, end):
        for h in range(H):
            value = incoming.source[p] * columns + h * C
            add_scaled(incoming.score[p, h], flat, value, rows, node * width + h * C, C)

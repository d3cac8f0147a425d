"""Attention from node to node within a window, as machine code: one function for each kind of convolution.

Columns of `projected` [nodes, columns] are what each node was made into, see `packed.Layer`. Messages are summed node by node,
in the order of the edges; PyTorch goes edge by edge, which shows in the last digits.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

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
    H = incoming.score.shape[1]
    edge_sum = np.empty((H, len(edge)), np.float32)
    for i in range(n):
        begin, end = incoming.begin[i], incoming.begin[i + 1]
        for p in range(begin, end):
            key = projected[incoming.source[p], width : 2 * width]
            _products(projected[i, :width], key, incoming.score[p])
            if incoming.edge[p] >= 0:
                _edge_products(projected[i, 4 * width :], attr[incoming.edge[p]], incoming.score[p])
        softmax(incoming.score[begin:end])
        edge_sum[:] = 0
        out[i] += projected[i, 3 * width : 4 * width]
        for p in range(begin, end):
            _add_heads(incoming.score[p], projected[incoming.source[p], 2 * width : 3 * width], out[i])
            if incoming.edge[p] >= 0:
                for h in range(H):
                    for d in range(len(edge)):
                        edge_sum[h, d] += incoming.score[p, h] * attr[incoming.edge[p], d]
        for d in range(len(edge)):
            _add_heads(edge_sum[:, d], edge[d], out[i])


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _products(query: Floats, key: Floats, score: Floats) -> None:
    """The dot product of each head."""
    C = len(query) // len(score)
    for h in range(len(score)):
        total = np.float32(0)
        for c in range(h * C, h * C + C):
            total += query[c] * key[c]
        score[h] = total


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _edge_products(seen: Floats, attr: Floats, score: Floats) -> None:
    """score [heads] += the query seen through the edge features [heads * edge features] times these [edge features]."""
    D = len(attr)
    for h in range(len(score)):
        for d in range(D):
            score[h] += seen[h * D + d] * attr[d]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add_heads(weight: Floats, value: Floats, row: Floats) -> None:
    """row [width] += value [width], each head weighed by its weight [heads]."""
    C = len(row) // len(weight)
    for h in range(len(weight)):
        for c in range(h * C, h * C + C):
            row[c] += weight[h] * value[c]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def gatv2(projected: Floats, incoming: Incoming, attr: Floats, edge: Floats, attention: Floats, out: Floats) -> None:
    """out += messages, Brody et al. 2022, eq. 7."""
    n, width = out.shape
    H, C = attention.shape
    mixed = np.empty(width, np.float32)
    for i in range(n):
        begin, end = incoming.begin[i], incoming.begin[i + 1]
        for p in range(begin, end):
            mixed[:] = projected[i, width : 2 * width]
            mixed += projected[incoming.source[p], :width]
            if incoming.edge[p] >= 0:
                for d in range(len(edge)):
                    mixed += attr[incoming.edge[p], d] * edge[d]
            for h in range(H):
                score = np.float32(0)
                for c in range(C):
                    x = mixed[h * C + c]
                    score += attention[h, c] * max(x, SLOPE * x)
                incoming.score[p, h] = score
        _heard(projected, incoming, begin, end, out[i])


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def gat(projected: Floats, incoming: Incoming, out: Floats) -> None:
    """out += messages, Velickovic et al. 2018, eq. 1-6."""
    n, width = out.shape
    H = incoming.score.shape[1]
    for i in range(n):
        begin, end = incoming.begin[i], incoming.begin[i + 1]
        for p in range(begin, end):
            for h in range(H):
                x = projected[incoming.source[p], width + h] + projected[i, width + H + h]
                incoming.score[p, h] = max(x, SLOPE * x)
        _heard(projected, incoming, begin, end, out[i])


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _heard(projected: Floats, incoming: Incoming, begin: int, end: int, row: Floats) -> None:
    """row [width] += the first `width` columns of the sources, weighed by the softmax of their scores."""
    softmax(incoming.score[begin:end])
    for p in range(begin, end):
        _add_heads(incoming.score[p], projected[incoming.source[p], : len(row)], row)

"""Windows as the compiled code reads them, and what may be wrong with them."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

WITHIN, BAD_ID, BAD_EDGE, BAD_OFFSETS, NOT_FINITE = range(5)  # what `check` finds


class WindowGraphs(NamedTuple):
    """G windows with N nodes and E edges."""

    id_index: NDArray[np.int64]  # [N]
    x: NDArray[np.float32]  # [N, features]
    source: NDArray[np.int32]  # [E], node within its window
    target: NDArray[np.int32]  # [E]
    edge_attr: NDArray[np.float32]  # [E, edge features]
    node_offsets: NDArray[np.int64]  # [G + 1]
    edge_offsets: NDArray[np.int64]  # [G + 1]


@numba.njit(cache=True, nogil=True)
def check(graphs: WindowGraphs, ids: int) -> int:
    """What is wrong with some graphs, or WITHIN: compiled code would read beyond its arrays."""
    if not _offsets_fit(graphs):
        return BAD_OFFSETS
    if len(graphs.id_index) > 0 and (graphs.id_index.min() < 0 or graphs.id_index.max() >= ids):
        return BAD_ID
    for g in range(len(graphs.node_offsets) - 1):
        nodes = graphs.node_offsets[g + 1] - graphs.node_offsets[g]
        for e in range(graphs.edge_offsets[g], graphs.edge_offsets[g + 1]):
            if min(graphs.source[e], graphs.target[e]) < 0 or max(graphs.source[e], graphs.target[e]) >= nodes:
                return BAD_EDGE
    if not (np.isfinite(graphs.x).all() and np.isfinite(graphs.edge_attr).all()):
        return NOT_FINITE
    return WITHIN


@numba.njit(cache=True, nogil=True)
def _offsets_fit(graphs: WindowGraphs) -> bool:
    """Whether all arrays are as long as the offsets say, and each window has a node."""
    nodes, edges = len(graphs.x), len(graphs.edge_attr)
    if len(graphs.id_index) != nodes or len(graphs.source) != edges or len(graphs.target) != edges:
        return False
    if len(graphs.node_offsets) != len(graphs.edge_offsets):
        return False
    return _cuts(graphs.node_offsets, nodes, 1) and _cuts(graphs.edge_offsets, edges, 0)


@numba.njit(cache=True, nogil=True)
def _cuts(offsets: NDArray[np.int64], size: int, least: int) -> bool:
    """Whether the offsets cut `size` rows into windows of at least `least` rows."""
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != size:
        return False
    shortest = size
    for g in range(len(offsets) - 1):
        shortest = min(shortest, offsets[g + 1] - offsets[g])
    return len(offsets) == 1 or shortest >= least

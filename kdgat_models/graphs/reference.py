"""Feature schema `reference`: the features of the published method, positions and counts within one window."""

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.frames import PAYLOAD_BYTES, Frames
from kdgat_models.graphs.schema import Features, FeatureSchema
from kdgat_models.graphs.topology import Topology

NODE_FEATURES = ("id_index", *(f"payload_{byte}" for byte in range(PAYLOAD_BYTES)), "count", "last_position")
# Gaps, positions and spans are in frames; an edge lies at the position of its first frame.
EDGE_FEATURES = (
    "count",
    "count_per_window",
    "gap_mean",
    "gap_std",
    "regularity",
    "first_position",
    "last_position",
    "span",
    "bidirectional",
    "degree_product",
    "degree_ratio",
)
# Columns of a node's features after the embedding index and the payload, and of an edge's features.
FRAMES, LAST_POSITION = PAYLOAD_BYTES, PAYLOAD_BYTES + 1
(
    COUNT,
    COUNT_PER_WINDOW,
    GAP_MEAN,
    GAP_STD,
    REGULARITY,
    FIRST_POSITION,
    LAST_POSITION_OF_EDGE,
    SPAN,
    BIDIRECTIONAL,
    DEGREE_PRODUCT,
    DEGREE_RATIO,
) = range(len(EDGE_FEATURES))


def compute(frames: Frames, topology: Topology, state: None = None) -> tuple[Features, None]:
    """Node and edge features of the windows of `topology`; nothing is remembered from one to the next.

    Nodes: mean of each payload byte / 255 (bytes beyond the DLC count as 0); number of frames, min-max scaled over the
    window's nodes (0 if all are equal); last position / (W - 1).

    Edges, with W the window size: number of occurrences; the same / W; mean and standard deviation of the gap between
    occurrences (0 for a single one); regularity 1 / (1 + std); first and last position; their difference; whether the
    reverse edge exists; product and ratio (source / target) of the degrees, a degree counting in- and outgoing edges.
    """
    W = topology.frame_node.shape[1]
    nodes = np.zeros((len(topology.arbitration_id), len(NODE_FEATURES) - 1), np.float32)
    edges = np.zeros((len(topology.source), len(EDGE_FEATURES)), np.float32)
    _nodes(frames.payload, topology.starts, topology.node_offsets, topology.frame_node, W, nodes)
    _edges(
        topology.node_offsets,
        topology.edge_offsets,
        topology.source,
        topology.target,
        topology.frame_edge,
        W,
        edges,
    )
    return Features(nodes, edges), None


@numba.njit(cache=True, nogil=True)
def _nodes(
    payload: NDArray[np.uint8],
    starts: NDArray[np.int64],
    node_offsets: NDArray[np.int64],
    frame_node: NDArray[np.int32],
    W: int,
    out: NDArray[np.float32],
) -> None:
    """Fill `out` [N, 10] with node features."""
    sums = np.zeros((W, PAYLOAD_BYTES), np.int64)
    counts = np.zeros(W, np.int64)
    last = np.zeros(W, np.int64)
    for g in range(len(starts)):
        n0, n = node_offsets[g], node_offsets[g + 1] - node_offsets[g]
        sums[:n] = 0
        counts[:n] = 0
        for i in range(W):
            node = frame_node[g, i]
            counts[node] += 1
            last[node] = i
            for byte in range(PAYLOAD_BYTES):
                sums[node, byte] += payload[starts[g] + i, byte]
        low, high = counts[:n].min(), counts[:n].max()
        for node in range(n):
            row = n0 + node
            for byte in range(PAYLOAD_BYTES):
                out[row, byte] = sums[node, byte] / (255.0 * counts[node])
            if high > low:
                out[row, FRAMES] = (counts[node] - low) / (high - low)
            out[row, LAST_POSITION] = last[node] / (W - 1)


@numba.njit(cache=True, nogil=True)
def _occurrences(
    frame_edge: NDArray[np.int32],
    count: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    squares: NDArray[np.int64],
) -> None:
    """Of each edge of one window: how often it occurs, where first and last, and the sum of its squared gaps."""
    count[:] = 0
    squares[:] = 0
    for i in range(len(frame_edge)):
        e = frame_edge[i]
        if count[e] == 0:
            first[e] = i
        else:
            squares[e] += (i - last[e]) ** 2
        count[e] += 1
        last[e] = i


@numba.njit(cache=True, nogil=True)
def _edges(
    node_offsets: NDArray[np.int64],
    edge_offsets: NDArray[np.int64],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    frame_edge: NDArray[np.int32],
    W: int,
    out: NDArray[np.float32],
) -> None:
    """Fill `out` [E, 11] with edge features."""
    count = np.zeros(W, np.int64)
    first = np.zeros(W, np.int64)
    last = np.zeros(W, np.int64)
    squares = np.zeros(W, np.int64)  # sum of squared gaps; the sum of gaps is last - first
    degree = np.zeros(W, np.int64)
    exists = np.zeros((W, W), np.bool_)
    for g in range(len(node_offsets) - 1):
        e0, n = edge_offsets[g], edge_offsets[g + 1] - edge_offsets[g]
        _occurrences(frame_edge[g], count[:n], first, last, squares[:n])
        degree[: node_offsets[g + 1] - node_offsets[g]] = 0
        for e in range(n):
            a, b = source[e0 + e], target[e0 + e]
            exists[a, b] = True
            degree[a] += 1
            degree[b] += 1
        for e in range(n):
            a, b = source[e0 + e], target[e0 + e]
            gaps = count[e] - 1
            mean = (last[e] - first[e]) / gaps if gaps else 0.0
            # Integers below W**2: the difference is exact but for one rounding, and cannot be clearly negative.
            std = np.sqrt(max(squares[e] / gaps - mean * mean, 0.0)) if gaps else 0.0
            row = out[e0 + e]
            row[COUNT] = count[e]
            row[COUNT_PER_WINDOW] = count[e] / W
            row[GAP_MEAN] = mean
            row[GAP_STD] = std
            row[REGULARITY] = 1.0 / (1.0 + std)
            row[FIRST_POSITION] = first[e]
            row[LAST_POSITION_OF_EDGE] = last[e]
            row[SPAN] = last[e] - first[e]
            row[BIDIRECTIONAL] = exists[b, a]
            row[DEGREE_PRODUCT] = degree[a] * degree[b]
            row[DEGREE_RATIO] = degree[a] / degree[b]
        for e in range(n):
            exists[source[e0 + e], target[e0 + e]] = False


REFERENCE = FeatureSchema("reference", 1, NODE_FEATURES, EDGE_FEATURES, compute, bounded=True)

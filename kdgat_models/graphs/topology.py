"""Windows of frames -> the nodes, edges and labels of their graphs. What features a graph has is a schema's matter.

Node = arbitration ID as on the bus. Edge = "this frame was followed by that frame": unique directed pairs of
consecutive frames within a window, self-loops kept. The vocabulary of embedding indices plays no part here.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.frames import Frames


class Topology(NamedTuple):
    """The graphs of G windows of W frames, as flat arrays over their N nodes and E edges."""

    starts: NDArray[np.int64]  # [G], first frame of each window, as a row of the frames that they were cut from
    node_offsets: NDArray[np.int64]  # [G + 1]
    edge_offsets: NDArray[np.int64]  # [G + 1]
    arbitration_id: NDArray[np.uint32]  # [N], ascending within a window
    source: NDArray[np.int32]  # [E], node index within the window
    target: NDArray[np.int32]  # [E]
    frame_node: NDArray[np.int32]  # [G, W], node of each frame, within the window
    frame_edge: NDArray[np.int32]  # [G, W - 1], edge from each frame to the next, within the window
    label: NDArray[np.uint8]  # [G], 1 if any frame is of an attack
    node_label: NDArray[np.uint8]  # [N], 1 if any frame of this ID is of an attack
    origin: int = 0  # frames of the capture before the first of these frames: a stream keeps only the last ones


def window_starts(frames: int, window_size: int, stride: int) -> NDArray[np.int64]:
    """First frames of all whole windows in a capture of `frames` frames."""
    return np.arange(0, frames - window_size + 1, stride, dtype=np.int64)


def build_topology(frames: Frames, starts: NDArray[np.int64], window_size: int, origin: int = 0) -> Topology:
    """Nodes, edges and labels of the windows that begin at the rows `starts` of `frames`, before which the capture has
    `origin` frames."""
    return Topology(starts, *_build(frames.arbitration_id, frames.label, starts, window_size), origin)


@numba.njit(cache=True, nogil=True)
def _build(
    ids: NDArray[np.uint32], labels: NDArray[np.uint8], starts: NDArray[np.int64], W: int
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.uint32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.uint8],
    NDArray[np.uint8],
]:
    """The fields of a Topology but `starts`, in one pass.

    Buffers have the largest size that is possible (W nodes and W - 1 edges a window) and are cut at the end.
    """
    G = len(starts)
    node_offsets, edge_offsets = np.zeros(G + 1, np.int64), np.zeros(G + 1, np.int64)
    node_ids, node_labels = np.empty(G * W, np.uint32), np.zeros(G * W, np.uint8)
    source, target = np.empty(G * (W - 1), np.int32), np.empty(G * (W - 1), np.int32)
    frame_node, frame_edge = np.empty((G, W), np.int32), np.empty((G, W - 1), np.int32)
    graph_labels = np.zeros(G, np.uint8)
    edge_of = np.full((W, W), -1, np.int32)  # edge index by (source, target), cleared after each window
    for g in range(G):
        start, n0, e0 = starts[g], node_offsets[g], edge_offsets[g]
        nodes = _window_nodes(ids[start : start + W], node_ids[n0:], frame_node[g])
        for i in range(W):
            if labels[start + i]:
                node_labels[n0 + frame_node[g, i]] = 1
                graph_labels[g] = 1
        edges = _window_edges(frame_node[g], edge_of, source[e0:], target[e0:], frame_edge[g])
        node_offsets[g + 1] = n0 + nodes
        edge_offsets[g + 1] = e0 + edges
    N, E = node_offsets[G], edge_offsets[G]
    return (
        node_offsets,
        edge_offsets,
        node_ids[:N].copy(),
        source[:E].copy(),
        target[:E].copy(),
        frame_node,
        frame_edge,
        graph_labels,
        node_labels[:N].copy(),
    )


@numba.njit(cache=True, nogil=True)
def _window_nodes(window: NDArray[np.uint32], node_ids: NDArray[np.uint32], frame_node: NDArray[np.int32]) -> int:
    """Write the IDs of a window, ascending, and the node of each of its frames; return how many nodes there are."""
    ordered = np.sort(window)
    count = 0
    for i in range(len(window)):
        if i == 0 or ordered[i] != ordered[i - 1]:
            node_ids[count] = ordered[i]
            count += 1
    known = node_ids[:count]
    for i in range(len(window)):
        frame_node[i] = np.searchsorted(known, window[i])
    return count


@numba.njit(cache=True, nogil=True)
def _window_edges(
    frame_node: NDArray[np.int32],
    edge_of: NDArray[np.int32],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    frame_edge: NDArray[np.int32],
) -> int:
    """Write the edges of a window in the order in which they first occur, and the edge from each frame to the next; return
    how many edges there are. `edge_of` [W, W] is -1 everywhere, before and after."""
    edges = 0
    for i in range(len(frame_node) - 1):
        a, b = frame_node[i], frame_node[i + 1]
        if edge_of[a, b] < 0:
            edge_of[a, b] = edges
            source[edges] = a
            target[edges] = b
            edges += 1
        frame_edge[i] = edge_of[a, b]
    for e in range(edges):
        edge_of[source[e], target[e]] = -1
    return edges

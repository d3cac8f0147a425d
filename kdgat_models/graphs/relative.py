"""Feature schema `relative`: frames against the past of their own ID, so that nothing in it belongs to one vehicle.

Inter-arrival times tell injected frames (Song, Kim & Kim 2016), bit flips and counters forged payloads (READ, Marchetti &
Stabili 2018), transitions the order of the bus (Marchetti & Stabili 2017). Here each is measured in units of the running
norm of the ID itself, in its own capture, and a window sees the mean and the extremes of its frames.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.clock import FRAMES_PER_SECOND, tells_time
from kdgat_models.can.frames import Frames
from kdgat_models.files import digest_files
from kdgat_models.graphs.relative_evidence import find_silent, name_silent, room_for_evidence
from kdgat_models.graphs.relative_measures import (
    EARLY,
    EARLY_SURPRISE,
    FIRST,
    FLIPS,
    MEASURES,
    NOVELTY,
    SUCCESSOR,
    TINY_GAP,
    TRANSITION,
    observe,
)
from kdgat_models.graphs.relative_state import Bus, FrameColumns, Norms, RelativeState, with_room
from kdgat_models.graphs.schema import Features, FeatureSchema
from kdgat_models.graphs.topology import Topology

M = len(MEASURES)
COUNTED_MEASURE = np.array([EARLY, EARLY_SURPRISE, FLIPS, NOVELTY, SUCCESSOR])
COUNTED_ABOVE = np.array([1.0, 4.0, 4.0, 3.0, 4.0], np.float32)
OF_ID = (
    "maturity",  # log2(1 + frames of this ID that set its norms), at most 8, / 8
    "surplus",  # frames in this window less those expected of its period, in standard deviations, log-compressed
    "missed",  # log2(frames of its period that did not come before it was first seen), less what other newcomers excuse
)
OF_BUS = (
    "age",  # log2(1 + s since the capture began), at most 5, / 5
    "load",  # log2(frames per second of this window / of the windows so far), within +-6
    "silent",  # log2(1 + IDs that are overdue by more than 2**SILENT periods)
    "silence",  # log2 of the longest of these in periods, 0 if none is
    "newcomers",  # log2(1 + frames of this window whose ID was never seen before)
)
NODE_FEATURES = (
    "id_index",
    *(f"{name}_mean" for name in MEASURES),
    *(f"{name}_max" for name in MEASURES),
    *(f"{MEASURES[measure]}_count" for measure in COUNTED_MEASURE),  # log2(1 + frames above COUNTED_ABOVE)
    *OF_ID,
    *OF_BUS,
)
EDGE_FEATURES = (
    "transition_mean",  # surprisal of the transition, see MEASURES
    "transition_max",
    "count",  # log2 of the number of occurrences
    "gap",  # log2 of the mean time between its frames over that of the bus
    "self_loop",
)
# Columns of a node's features after the embedding index: M means, then
MAXIMUM, COUNTS = M, 2 * M  # M maxima, and a count for each of COUNTED_MEASURE, then
_END = COUNTS + len(COUNTED_MEASURE)
MATURITY, SURPLUS, MISSED = range(_END, _END + len(OF_ID))
AGE, LOAD, SILENT_IDS, SILENCE, NEWCOMERS = range(MISSED + 1, MISSED + 1 + len(OF_BUS))
# Columns of an edge's features.
TRANSITION_MEAN, TRANSITION_MAX, COUNT, GAP, SELF_LOOP = range(len(EDGE_FEATURES))
SILENT, SWITCHED_OFF = 3.0, 10.0  # log2 of periods: from 8 on an ID is silent, from 1024 on its unit is off
COHORT_S = 1.0  # s; IDs that are first seen together belong to a unit that woke up
COHORT_SLOTS = 64  # IDs before and after one that are looked at, at most


def compute(frames: Frames, topology: Topology, state: RelativeState | None = None) -> tuple[Features, RelativeState]:
    """Features of the windows of `topology`, and what is remembered after them.

    Without usable timestamps, frames are counted instead of seconds: ratios of gaps, and all that payloads tell, remain.
    """
    W = topology.frame_node.shape[1]
    state = state or RelativeState.fresh(M, tells_time(frames.timestamp))
    begin, end = state.next_frame - topology.origin, int(topology.starts[-1]) + W
    keep = min(int(topology.starts[0]), begin)  # frames before `begin` were measured with the windows before
    rows, first = slice(keep, end), keep + topology.origin
    clock = frames.timestamp[rows] if state.timed else np.arange(first, end + topology.origin) / FRAMES_PER_SECOND
    state, slot = with_room(state, frames.arbitration_id[rows])
    measures = np.zeros((end - keep, M), np.float32)
    measures[: begin - keep] = state.measures[len(state.measures) - (begin - keep) :]
    node_slots = np.array([state.slots[identifier] for identifier in topology.arbitration_id.tolist()], np.int32)
    nodes = np.zeros((len(topology.arbitration_id), len(NODE_FEATURES) - 1), np.float32)
    edges = np.zeros((len(topology.source), len(EDGE_FEATURES)), np.float32)
    evidence = room_for_evidence(len(topology.starts), W)
    _windows(
        (topology.starts - keep, W, begin - keep),
        (clock, slot, frames.dlc[rows], frames.payload[rows]),
        (state.norms, len(state.slots), state.pairs, state.bus),
        (measures, evidence.measures),
        (topology.node_offsets, node_slots, topology.frame_node),
        (topology.edge_offsets, topology.source, topology.target, topology.frame_edge),
        nodes,
        edges,
        (evidence.silent, evidence.silent_for, evidence.gap),
    )
    name_silent(evidence.silent, state.slots)
    return Features(nodes, edges, evidence), state._replace(measures=measures[-W:].copy(), next_frame=end + topology.origin)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _aggregate(
    rows: NDArray[np.float32], frame_node: NDArray[np.int32], count: NDArray[np.int64], out: NDArray[np.float32]
) -> float:
    """Mean and maximum of each measure over a node's frames, and how many are beyond a threshold."""
    count[:] = 0
    newcomers = 0.0
    for i in range(len(rows)):
        node = frame_node[i]
        row = out[node]
        if count[node] == 0:
            for m in range(M):
                row[MAXIMUM + m] = rows[i, m]
        for m in range(M):
            row[m] += rows[i, m]
            row[MAXIMUM + m] = max(row[MAXIMUM + m], rows[i, m])
        for c in range(len(COUNTED_MEASURE)):
            if rows[i, COUNTED_MEASURE[c]] > COUNTED_ABOVE[c]:
                row[COUNTS + c] += 1
        count[node] += 1
        newcomers += rows[i, FIRST]
    _finish(count, out)
    return newcomers


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _finish(count: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Sums -> means, counts -> their logarithm."""
    for node in range(len(out)):
        row = out[node]
        for m in range(M):
            row[m] /= count[node]
        for c in range(len(COUNTED_MEASURE)):
            if row[COUNTS + c] > 0:
                row[COUNTS + c] = math.log2(1.0 + row[COUNTS + c])


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _describe_ids(
    count: NDArray[np.int64],
    node_slots: NDArray[np.int32],
    span: float,
    norms: Norms,
    slots: int,
    out: NDArray[np.float32],
) -> None:
    """The features OF_ID, as they stand at the end of the window."""
    for node in range(len(out)):
        k = node_slots[node]
        norm = norms[k]
        out[node, MATURITY] = min(math.log2(1.0 + norm.trust), 8.0) / 8.0
        if norm.trust > 2:
            period = 2.0**norm.period
            z = (count[node] - span / period) / math.sqrt(span / period + 1.0)
            out[node, SURPLUS] = math.log2(z) if z > 1.0 else -math.log2(-z) if z < -1.0 else 0.0
            missed = min(math.log2(1.0 + max(norm.born, 0.0) / period), 12.0)
            if missed > 0.0:
                out[node, MISSED] = max(missed - 2.0 * math.log2(1.0 + _cohort(k, norms, slots)), 0.0)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _cohort(k: int, norms: Norms, slots: int) -> int:
    """Number of other IDs that were first seen within COHORT_S s of slot `k`, at most COHORT_SLOTS each way."""
    others = 0
    for j in range(k + 1, min(slots, k + 1 + COHORT_SLOTS)):
        if norms[j].count == 0 or norms[j].born - norms[k].born > COHORT_S:
            break
        others += 1
    for j in range(k - 1, max(k - 1 - COHORT_SLOTS, -1), -1):
        if norms[k].born - norms[j].born > COHORT_S:
            break
        others += 1
    return others


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _describe_bus(
    now: float, span: float, newcomers: float, norms: Norms, slots: int, bus: Bus, out: NDArray[np.float32]
) -> None:
    """The features OF_BUS, the same for all nodes of the window."""
    silent, silence = 0, 0.0
    for k in range(slots):
        norm = norms[k]
        if norm.trust >= 20:
            overdue = math.log2(max(now - norm.last, TINY_GAP)) - norm.period - 2 * norm.jitter
            if SILENT < overdue < SWITCHED_OFF:
                silent += 1
                silence = max(silence, overdue)
    load = min(max(math.log2(bus.window_span / bus.windows / span), -6.0), 6.0) if bus.windows > 0 else 0.0
    bus.window_span += span
    bus.windows += 1
    for node in range(len(out)):
        out[node, AGE] = min(math.log2(1.0 + max(now, 0.0)), 5.0) / 5.0
        out[node, LOAD] = load
        out[node, SILENT_IDS] = math.log2(1.0 + silent)
        out[node, SILENCE] = silence
        out[node, NEWCOMERS] = math.log2(1.0 + newcomers)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _describe_edges(
    rows: NDArray[np.float32],
    times: NDArray[np.float64],
    span: float,
    frame_edge: NDArray[np.int32],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """EDGE_FEATURES of one window."""
    for i in range(len(rows) - 1):
        row = out[frame_edge[i]]
        surprisal = rows[i + 1, TRANSITION]
        row[TRANSITION_MEAN] += surprisal
        row[TRANSITION_MAX] = surprisal if row[COUNT] == 0 else max(row[TRANSITION_MAX], surprisal)
        row[COUNT] += 1
        row[GAP] += max(times[i + 1] - times[i], 0.0)
    mean = span / (len(rows) - 1)
    for e in range(len(out)):
        row = out[e]
        row[TRANSITION_MEAN] /= row[COUNT]
        row[GAP] = math.log2((row[GAP] / row[COUNT] + 0.1 * mean) / (1.1 * mean))
        row[COUNT] = math.log2(row[COUNT])
        row[SELF_LOOP] = 1.0 if source[e] == target[e] else 0.0


def _compiled(code: str) -> Callable[..., None]:
    """The kernel of `compute`. `code` is a digest of the files that its compiled functions come from.

    Numba keeps machine code on disk and takes it as long as the file of the outermost function, its byte code and what it
    encloses are the same. What it calls lies in other files too: without the digest, a change there would not be compiled.
    """

    @numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
    def _windows(
        windows: tuple[NDArray[np.int64], int, int],
        frames: FrameColumns,
        state: tuple[NDArray[Any], int, NDArray[np.float32], NDArray[Any]],
        measures: tuple[NDArray[np.float32], NDArray[np.float32]],
        node_columns: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
        edge_columns: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
        nodes: NDArray[np.float32],
        edges: NDArray[np.float32],
        silences: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        """Observe frame by frame; at the end of each window, write its nodes and edges, and keep the measures of its frames."""
        _ = code
        starts, W, at = windows
        measured, kept = measures
        clock = frames[0]
        norms, slots, pairs, buses = state
        bus = buses[0]
        node_offsets, node_slots, frame_node = node_columns
        edge_offsets, source, target, frame_edge = edge_columns
        count = np.zeros(W, np.int64)
        for g in range(len(starts)):
            end = starts[g] + W
            while at < end:
                observe(at, frames, norms, pairs, bus, measured)
                at += 1
            n0, n1 = node_offsets[g], node_offsets[g + 1]
            e0, e1 = edge_offsets[g], edge_offsets[g + 1]
            rows, times = measured[starts[g] : end], clock[starts[g] : end]
            kept[g] = rows
            newcomers = _aggregate(rows, frame_node[g], count[: n1 - n0], nodes[n0:n1])
            span = max(times[W - 1] - times[0], TINY_GAP)
            _describe_ids(count, node_slots[n0:n1], span, norms, slots, nodes[n0:n1])
            _describe_bus(times[W - 1] - bus.start + bus.learnt, span, newcomers, norms, slots, bus, nodes[n0:n1])
            _describe_edges(rows, times, span, frame_edge[g], source[e0:e1], target[e0:e1], edges[e0:e1])
            now = times[W - 1] - bus.start + bus.learnt
            find_silent(now, norms, slots, silences[0][g], silences[1][g], silences[2][g])

    return _windows


_FILES = ("relative.py", "relative_evidence.py", "relative_measures.py", "relative_moments.py", "relative_state.py")
_windows = _compiled(digest_files(Path(__file__).with_name(file) for file in _FILES))


def begin(timed: bool) -> RelativeState:
    """The state of a capture of which nothing is known, whose timestamps tell time or not."""
    return RelativeState.fresh(M, timed)


RELATIVE = FeatureSchema("relative", 1, NODE_FEATURES, EDGE_FEATURES, compute, bounded=False, begin=begin)

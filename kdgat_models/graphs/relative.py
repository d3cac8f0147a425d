"""Feature schema `relative`: frames against the past of their own ID, so that nothing in it belongs to one vehicle."""

import math

import numba
import numpy as np

from kdgat_models.can.frames import Frames
from kdgat_models.graphs.relative_measures import EARLY, EARLY_SURPRISE, FIRST, FLIPS, MEASURES, NOVELTY, SUCCESSOR, TRANSITION, observe
from kdgat_models.graphs.relative_state import RelativeState, with_room
from kdgat_models.graphs.schema import Features, FeatureSchema
from kdgat_models.graphs.topology import Topology

COUNTED = ((EARLY, 1.0), (EARLY_SURPRISE, 4.0), (FLIPS, 4.0), (NOVELTY, 3.0), (SUCCESSOR, 4.0))
OF_ID = (
    "maturity",  # log2(1 + frames of this ID that set its norms), at most 8, / 8
    "surplus",  # frames in this window less those expected of its period, in standard deviations, log-compressed
    "missed",  # log2(frames of its period that did not come before it was first seen), less what other newcomers excuse
)
OF_BUS = (
    "age",  # log2(1 + s since the capture began), at most 5, / 5
    "load",  # log2(frames per second of this window / of the capture so far)
    "silent",  # log2(1 + IDs that are overdue by more than SILENT periods)
    "silence",  # log2 of the longest of these in periods, 0 if none is
    "newcomers",  # log2(1 + IDs first seen in this window)
)
NODE_FEATURES = (
    "id_index",
    *(f"{name}_mean" for name in MEASURES),
    *(f"{name}_max" for name in MEASURES),
    *(f"{MEASURES[measure]}_count" for measure, _ in COUNTED),
    *OF_ID,
    *OF_BUS,
)
EDGE_FEATURES = ("transition_mean", "transition_max", "count", "gap", "self_loop")
SILENT = 3.0  # log2: eight periods
GONE = 10.0  # log2 of periods after which an ID counts as switched off rather than silenced
COHORT = 1.0  # s
M = len(MEASURES)


def compute(frames: Frames, topology: Topology, state: RelativeState | None) -> tuple[Features, RelativeState]:
    """Features of the windows of `topology`, and the state after them."""
    W = topology.frame_node.shape[1]
    state = state or RelativeState.fresh(M)
    begin, end = state.next_frame, int(topology.starts[-1]) + W
    clock = np.ascontiguousarray(frames.timestamp[begin:end])
    state, slot = with_room(state, frames.arbitration_id[begin:end])
    keep = min(int(topology.starts[0]), begin)
    measures = np.zeros((end - keep, M), np.float32)
    measures[: begin - keep] = state.measures[len(state.measures) - (begin - keep) :]
    node_slots = np.array([state.slots[int(i)] for i in topology.arbitration_id], np.int32)
    nodes = np.zeros((len(topology.arbitration_id), len(NODE_FEATURES) - 1), np.float32)
    edges = np.zeros((len(topology.source), len(EDGE_FEATURES)), np.float32)
    _windows(
        topology.starts, W, begin, keep, frames.timestamp, clock, slot, frames.dlc[begin:end], frames.payload[begin:end],
        state.norms, len(state.slots), state.pairs, state.bus, measures, node_slots, topology.node_offsets, topology.frame_node,
        topology.edge_offsets, topology.source, topology.target, topology.frame_edge, nodes, edges,
    )
    return Features(nodes, edges), state._replace(measures=measures[-W:].copy(), next_frame=end)


@numba.njit(cache=True, nogil=True)
def _windows(starts, W, begin, keep, timestamp, clock, slot, dlc, payload, norms, slots, pairs, bus, measures, node_slots,
             node_offsets, frame_node, edge_offsets, source, target, frame_edge, nodes, edges):
    at = begin
    count = np.zeros(W, np.int64)
    for g in range(len(starts)):
        end = starts[g] + W
        while at < end:
            observe(at - begin, at - keep, clock, slot, dlc, payload, norms, pairs, bus, measures)
            at += 1
        n0, n = node_offsets[g], node_offsets[g + 1] - node_offsets[g]
        rows = measures[starts[g] - keep : end - keep]
        out = nodes[n0 : n0 + n]
        count[:n] = 0
        newcomers = 0
        for i in range(W):
            node = frame_node[g, i]
            row = out[node]
            for m in range(M):
                value = rows[i, m]
                row[m] += value
                if count[node] == 0 or value > row[M + m]:
                    row[M + m] = value
            for c in range(len(COUNTED)):
                row[2 * M + c] += rows[i, COUNTED[c][0]] > COUNTED[c][1]
            count[node] += 1
            newcomers += rows[i, FIRST] > 0
        now = clock[end - 1 - begin] - bus[1] if end > begin else 0.0
        span = max(timestamp[end - 1] - timestamp[starts[g]], 1e-6)
        silent, silence = _silence(now, norms, slots)
        load = 0.0
        if bus[4] > 0:
            load = min(max(math.log2(bus[3] / bus[4] / span), -6.0), 6.0)
        bus[3] += span
        bus[4] += 1
        for node in range(n):
            row = out[node]
            k = node_slots[n0 + node]
            for m in range(M):
                row[m] /= count[node]
            for c in range(len(COUNTED)):
                row[2 * M + c] = math.log2(1.0 + row[2 * M + c])
            o = 2 * M + len(COUNTED)
            row[o] = min(math.log2(1.0 + norms.trust[k]), 8.0) / 8.0
            if norms.trust[k] > 2:
                period = 2.0 ** norms.period[k]
                expected = span / period
                z = (count[node] - expected) / math.sqrt(expected + 1.0)
                row[o + 1] = math.log2(z) if z > 1.0 else -math.log2(-z) if z < -1.0 else 0.0
                excused = 2.0 * math.log2(1.0 + _cohort(k, norms, slots))
                row[o + 2] = max(min(math.log2(1.0 + norms.born[k] / period), 12.0) - excused, 0.0)
            o += len(OF_ID)
            row[o] = min(math.log2(1.0 + now), 5.0) / 5.0
            row[o + 1] = load
            row[o + 2] = math.log2(1.0 + silent)
            row[o + 3] = silence
            row[o + 4] = math.log2(1.0 + newcomers)
        _edges(g, W, rows, timestamp[starts[g] : end], bus, span, edge_offsets, source, target, frame_edge, edges)


@numba.njit(cache=True, nogil=True)
def _edges(g, W, rows, timestamp, bus, span, edge_offsets, source, target, frame_edge, out):
    e0, e1 = edge_offsets[g], edge_offsets[g + 1]
    for i in range(W - 1):
        row = out[e0 + frame_edge[g, i]]
        value = rows[i + 1, TRANSITION]
        row[0] += value
        row[1] = value if row[2] == 0 else max(row[1], value)
        row[2] += 1
        row[3] += max(timestamp[i + 1] - timestamp[i], 0.0)
    mean = bus[3] / bus[4] / W
    for e in range(e0, e1):
        row = out[e]
        row[0] /= row[2]
        row[3] = math.log2((row[3] / row[2] + 0.1 * mean) / (1.1 * mean))
        row[2] = math.log2(row[2])
        row[4] = source[e] == target[e]


@numba.njit(cache=True, nogil=True)
def _cohort(k, norms, slots):
    """Number of other IDs that were first seen within COHORT s of slot `k`; at most 64 each way."""
    others = 0
    for j in range(k + 1, min(slots, k + 65)):
        if norms.count[j] == 0 or norms.born[j] - norms.born[k] > COHORT:
            break
        others += 1
    for j in range(k - 1, max(k - 65, -1), -1):
        if norms.born[k] - norms.born[j] > COHORT:
            break
        others += 1
    return others


@numba.njit(cache=True, nogil=True)
def _silence(now, norms, slots):
    silent, longest = 0, 0.0
    for k in range(slots):
        if norms.trust[k] < 20:
            continue
        overdue = math.log2(max(now - norms.last[k], 1e-6)) - norms.period[k] - 2 * norms.jitter[k]
        if overdue > SILENT and overdue < GONE:
            silent += 1
            longest = max(longest, overdue)
    return silent, longest


RELATIVE = FeatureSchema("relative", 1, NODE_FEATURES, EDGE_FEATURES, compute, bounded=False)

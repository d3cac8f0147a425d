"""What a learned detector must beat: three untrained detectors over IDs and times, and boosting over window aggregates.

Each gives one score per window [G], float64 and finite, higher for more of an attack. The untrained ones take their norms
from a capture's warm-up, its first seconds. Those may hold an attack, too: no label is read. Past the warm-up they are causal,
and a window's score depends on no other window; windows within the warm-up are judged by the same norms, which saw them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from kdgat_models.can.clock import FRAMES_PER_SECOND, tells_time
from kdgat_models.can.frames import Frames
from kdgat_models.errors import DatasetError, SchemaError
from kdgat_models.graphs.finite import Origin, require_finite, window_of
from kdgat_models.graphs.schema import SchemaRecord, require_same_schema
from kdgat_models.graphs.store import GraphStore
from kdgat_models.graphs.topology import window_starts

WARM_UP_S = 5.0
RULE_THRESHOLD = 2.0  # `warm_up_rule` calls a window of 100 frames an attack at this score or above
TREES: dict[str, Any] = {
    "max_iter": 120,
    "learning_rate": 0.08,
    "max_leaf_nodes": 15,
    "l2_regularization": 1.0,
    "early_stopping": False,
}
CHUNK_FRAMES = 2**20  # of windows in memory
CHUNK_WINDOWS = 2**12  # whose nodes and edges are in memory

Scores = NDArray[np.float64]


def warm_up_rule(frames: Frames, starts: NDArray[np.int64], window_size: int, warm_up_s: float = WARM_UP_S) -> Scores:
    """Number of frames in each window [G] that alarm: of a new ID, or too soon after the frame of the same ID before.

    New is an ID that the warm-up lacks. Too soon is less than half of the median time between frames of this ID in the
    warm-up; an ID with one frame there has no such time and never comes too soon. Times between frames as a sign of injected
    ones: Song, Kim and Kim, "Intrusion detection system based on the analysis of time intervals of CAN messages", 2016.

    Args:
        frames: A capture of n frames. If its timestamps are all equal, or one is not finite, no frame comes too soon, and the
            warm-up is counted in frames (`FRAMES_PER_SECOND`).
        starts: [G], first frame of each window, in any order.
        window_size: Frames in a window.
        warm_up_s: Length of the warm-up, in s. A capture that is shorter is all warm-up.

    Raises:
        SchemaError: a window lies outside the capture.
    """
    _check(frames, starts, window_size)
    ids, warm_up = frames.arbitration_id, _warm_up_frames(frames.timestamp, warm_up_s)
    clock = frames.timestamp if tells_time(frames.timestamp) else np.zeros(frames.size)
    known, limits = _half_periods(ids[:warm_up], clock[:warm_up])
    alarms = np.concatenate([[0], np.cumsum(_alarms(ids, clock, known, limits))])
    return (alarms[starts + window_size] - alarms[starts]).astype(np.float64)


def id_entropy(frames: Frames, starts: NDArray[np.int64], window_size: int, warm_up_s: float = WARM_UP_S) -> Scores:
    """How far the entropy of each window's IDs [G] lies from the warm-up's, in standard deviations of its windows.

    Shannon entropy in bits of the shares of IDs; entropy as a sign of anomalies on CAN: Mueter and Asaj, "Entropy-based anomaly
    detection for in-vehicle networks", 2011. Norms come from the warm-up's windows, cut side by side from frame 0 on, of which
    there is always one. They may be all alike: a standard deviation counts as 1 / window_size bits at least.

    Args and errors are those of `warm_up_rule`.
    """
    _check(frames, starts, window_size)
    if not len(starts):
        return np.zeros(0)
    warm_up = max(_warm_up_frames(frames.timestamp, warm_up_s), window_size)
    norm = _entropy(frames.arbitration_id, window_starts(warm_up, window_size, window_size), window_size)
    found = _entropy(frames.arbitration_id, starts, window_size)
    return np.abs(found - norm.mean()) / max(float(norm.std()), 1 / window_size)


def id_frequency(frames: Frames, starts: NDArray[np.int64], window_size: int, warm_up_s: float = WARM_UP_S) -> Scores:
    """Pearson's chi-square of each window's counts of IDs [G] against their shares in the warm-up.

    All IDs that the warm-up lacks are one class. Each class counts as one frame more than it had (Laplace): of this one a frame
    in a whole warm-up is expected, so that a few in a window outweigh all else. The warm-up is one window long at least.

    Args and errors are those of `warm_up_rule`.
    """
    _check(frames, starts, window_size)
    if not len(starts):
        return np.zeros(0)
    ids = frames.arbitration_id
    warm_up = max(_warm_up_frames(frames.timestamp, warm_up_s), window_size)
    known, seen = np.unique(ids[:warm_up], return_counts=True)
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    kind = np.where(known[place] == ids, place, len(known))
    expected = np.append(seen + 1, 1) * (window_size / (warm_up + len(known) + 1))
    # sum((n - e)^2 / e) over all classes = sum(n^2 / e) - W over those in the window, as n and e both sum to W.
    return _sum_over_counts(kind, starts, window_size, lambda k, n: n * n / expected[k]) - window_size


Untrained = Callable[[Frames, NDArray[np.int64], int], Scores]
UNTRAINED: dict[str, Untrained] = {"warm_up_rule": warm_up_rule, "id_entropy": id_entropy, "id_frequency": id_frequency}


def untrained_scores(capture: str, frames: Frames, starts: NDArray[np.int64], window_size: int) -> dict[str, Scores]:
    """Scores [G] of all `UNTRAINED` detectors on the windows of a capture, by name.

    Raises:
        SchemaError: a window lies outside the capture.
        NonFiniteError: a score is not finite.
    """
    scores = {name: score(frames, starts, window_size) for name, score in UNTRAINED.items()}
    for name, values in scores.items():
        require_finite(values, [f"the score of {name}"], lambda row: window_of(capture, row, int(starts[row])))
    return scores


class Boosting(NamedTuple):
    """Gradient-boosted trees over `window_aggregates`: what the features of a graph tell without its structure."""

    schema: SchemaRecord  # of the graphs that they were trained on
    trees: HistGradientBoostingClassifier

    @classmethod
    def fit(cls, store: GraphStore, windows: NDArray[np.int64], seed: int) -> "Boosting":
        """Train on the given windows of a store. Nothing is held out and nothing tuned.

        Raises:
            DatasetError: all windows are normal, or all have an attack, or there are none.
        """
        labels = store.label[windows]
        if len(np.unique(labels)) < 2:
            raise DatasetError(
                f"boosting needs normal windows and windows with attacks to learn from; of the {len(labels)} given, "
                f"{int(labels.sum())} have an attack. Add captures of the other kind to the training data"
            )
        trees = HistGradientBoostingClassifier(**TREES, random_state=seed)
        return cls(store.schema, trees.fit(window_aggregates(store, windows), labels))

    def scores(self, store: GraphStore, windows: NDArray[np.int64]) -> Scores:
        """Log-odds of an attack in each of the given windows [G].

        Raises:
            SchemaError: the store has other features than the one that was trained on.
            NonFiniteError: a score is not finite.
        """
        require_same_schema(self.schema, store.schema)
        if not len(windows):
            return np.zeros(0)
        scores = np.asarray(self.trees.decision_function(window_aggregates(store, windows)), np.float64)
        require_finite(scores, ["the score of boosting"], Origin(store, windows).describe)
        return scores


def window_aggregates(store: GraphStore, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """[G, 3 x node features + 2 x edge features] of the given windows, in the given order, which may repeat.

    Columns: maximum, mean and minimum of each feature over a window's nodes, then mean and maximum over its edges; zeros where
    it has none (windows of one frame have no edges).
    """
    nodes, edges = store.x.shape[1], store.edge_attr.shape[1]
    aggregates = np.zeros((len(windows), 3 * nodes + 2 * edges), np.float32)
    for begin in range(0, len(windows), CHUNK_WINDOWS):
        chunk, out = windows[begin : begin + CHUNK_WINDOWS], aggregates[begin : begin + CHUNK_WINDOWS]
        _reduce(store.x, store.node_offsets, chunk, ("max", "mean", "min"), out[:, : 3 * nodes])
        _reduce(store.edge_attr, store.edge_offsets, chunk, ("mean", "max"), out[:, 3 * nodes :])
    return aggregates


_UFUNCS = {"max": np.maximum, "mean": np.add, "min": np.minimum}


def _reduce(
    values: NDArray[np.float32], offsets: NDArray[np.int64], windows: NDArray[np.int64], how: tuple[str, ...], out: NDArray[Any]
) -> None:
    """Fill `out` [G, len(how) x features] for the windows that have rows in `values`."""
    starts, counts = offsets[windows], offsets[windows + 1] - offsets[windows]
    filled = counts > 0  # reduceat would take a neighbour's row for an empty range
    starts, counts = starts[filled], counts[filled]
    if not len(counts):
        return
    first = np.cumsum(counts) - counts
    rows = values[np.repeat(starts - first, counts) + np.arange(counts.sum())]
    width = values.shape[1]
    for place, name in enumerate(how):
        reduced = _UFUNCS[name].reduceat(rows, first, axis=0)
        out[filled, place * width : (place + 1) * width] = reduced / counts[:, None] if name == "mean" else reduced


def _check(frames: Frames, starts: NDArray[np.int64], window_size: int) -> None:
    if window_size < 1 or (len(starts) and (starts.min() < 0 or starts.max() + window_size > frames.size)):
        raise SchemaError(
            f"a window of {window_size} frames lies outside this capture of {frames.size} frames, or is empty; give the first "
            "frames, counted within this capture, and the size that its windows were cut with"
        )


def _warm_up_frames(timestamps: NDArray[np.float64], warm_up_s: float) -> int:
    """How many frames come before the first that is `warm_up_s` later than the first of all, or later still."""
    if not tells_time(timestamps):
        return min(len(timestamps), int(warm_up_s * FRAMES_PER_SECOND))
    late = timestamps - timestamps[0] >= warm_up_s
    return int(late.argmax()) if late.any() else len(timestamps)


def _half_periods(ids: NDArray[np.uint32], clock: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """The distinct `ids`, ascending, and half of the median time between frames of each, in s; -inf where there is none."""
    known, slot = np.unique(ids, return_inverse=True)
    order = np.argsort(slot, kind="stable")
    same = np.diff(slot[order]) == 0
    gaps, slot = np.diff(clock[order])[same], slot[order][1:][same]
    gaps = gaps[np.lexsort((gaps, slot))]
    count = np.bincount(slot, minlength=len(known))
    first, some = np.cumsum(count) - count, count > 0
    limits = np.full(len(known), -np.inf)
    limits[some] = (gaps[(first + (count - 1) // 2)[some]] + gaps[(first + count // 2)[some]]) / 4
    return known, limits


@numba.njit(cache=True, nogil=True)
def _alarms(
    ids: NDArray[np.uint32], clock: NDArray[np.float64], known: NDArray[np.uint32], limits: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each frame [n] is of an ID that is not `known`, or within its limit of the frame of the same ID before, in s."""
    alarms = np.zeros(len(ids), np.bool_)
    last = np.full(len(known), -np.inf)
    for i in range(len(ids)):
        k = np.searchsorted(known, ids[i])
        if k == len(known) or known[k] != ids[i]:
            alarms[i] = True
        else:
            alarms[i] = clock[i] - last[k] < limits[k]
            last[k] = clock[i]
    return alarms


def _entropy(ids: NDArray[np.uint32], starts: NDArray[np.int64], window_size: int) -> Scores:
    return np.log2(window_size) - _sum_over_counts(ids, starts, window_size, lambda _, n: n * np.log2(n)) / window_size


def _sum_over_counts(
    values: NDArray[Any],
    starts: NDArray[np.int64],
    window_size: int,
    term: Callable[[NDArray[Any], NDArray[np.int64]], NDArray[Any]],
) -> Scores:
    """Sum of term(value, how often it occurs) over the distinct values of each window [G]."""
    sums = np.zeros(len(starts))
    chunk = max(CHUNK_FRAMES // window_size, 1)
    for begin in range(0, len(starts), chunk):
        part = np.sort(np.lib.stride_tricks.sliding_window_view(values, window_size)[starts[begin : begin + chunk]], axis=1)
        new = np.ones(part.shape, np.bool_)
        new[:, 1:] = part[:, 1:] != part[:, :-1]
        runs = np.flatnonzero(new)
        terms = term(part.ravel()[runs], np.diff(runs, append=part.size))
        sums[begin : begin + chunk] = np.bincount(runs // window_size, terms, minlength=len(part))
    return sums

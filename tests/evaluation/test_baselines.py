"""Baselines: on simulated traffic, on captures made by hand, and against the same in plain Python."""

from statistics import median
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import ATTACKS, arbitrate, drive, make_vehicle
from kdgat_models.errors import DatasetError, SchemaError
from kdgat_models.evaluation import baselines
from kdgat_models.evaluation.baselines import (
    RULE_THRESHOLD,
    UNTRAINED,
    Boosting,
    id_entropy,
    id_frequency,
    warm_up_rule,
    window_aggregates,
)
from kdgat_models.graphs.topology import window_starts

every_detector = pytest.mark.parametrize("detector", UNTRAINED.values(), ids=UNTRAINED.keys())


def frames_of(ids, times, labels=None):
    n = len(ids)
    labels = np.zeros(n, np.uint8) if labels is None else np.asarray(labels, np.uint8)
    return Frames(
        np.asarray(times, float), np.asarray(ids, np.uint32), np.full(n, 8, np.uint8), np.zeros((n, 8), np.uint8), labels
    )


def driven(attack=None, seconds=20.0, seed=0):
    """A drive, attacked from 10 to 14 s if at all: past the warm-up."""
    vehicle, rng = make_vehicle("alpha", 3), np.random.default_rng(seed)
    traffic = drive(vehicle, seconds, rng)
    if attack:
        traffic = ATTACKS[attack](traffic, vehicle, 10.0, 14.0, rng)
    traffic = arbitrate(traffic)
    return frames_of(traffic.arbitration_id, 1.7e9 + traffic.time, traffic.label)


def labels_of(frames, starts, size=100):
    return np.array([frames.label[start : start + size].any() for start in starts])


def plain_rule(ids, times, starts, size, warm_up_s):
    warm_up = next((i for i, time in enumerate(times) if time - times[0] >= warm_up_s), len(ids))
    gaps, last, alarms = {}, {}, []
    for i, time in zip(ids[:warm_up], times[:warm_up], strict=True):
        gaps.setdefault(i, []).extend([time - last[i]] if i in last else [])
        last[i] = time
    last = {}
    for i, time in zip(ids, times, strict=True):
        early = i in last and gaps.get(i) and time - last[i] < median(gaps[i]) / 2
        alarms.append(i not in gaps or bool(early))
        last[i] = time
    return [sum(alarms[start : start + size]) for start in starts]


ODD = {
    "one ID only": frames_of([7] * 300, np.arange(300) / 10),
    "one window": frames_of(np.arange(100) % 7, np.arange(100) / 10),
    "one window of one frame's time": frames_of(np.arange(100) % 7, np.zeros(100)),
    "no window": frames_of(np.arange(99) % 7, np.arange(99) / 10),
    "no frame": frames_of([], []),
    "shorter than the warm-up": frames_of(np.arange(400) % 7, np.arange(400) / 1000),
    "timestamps all equal": frames_of(np.arange(400) % 7, np.full(400, 1.7e9)),
    "timestamps not finite": frames_of(np.arange(400) % 7, np.where(np.arange(400) == 200, np.inf, np.arange(400) / 10)),
    "time runs backwards": frames_of(np.arange(400) % 7, -np.arange(400) / 10),
    "a warm-up of one frame": frames_of(np.arange(400) % 7, 100.0 * np.arange(400)),
    "each ID once": frames_of(0x1FFF_FFFF - np.arange(400), np.arange(400) / 10),
}


@every_detector
@pytest.mark.parametrize("frames", ODD.values(), ids=ODD.keys())
def test_every_window_has_a_finite_score_in_odd_captures_too(detector, frames):
    starts = window_starts(frames.size, 100, 50)
    scores = detector(frames, starts, 100)
    assert scores.dtype == np.float64
    assert scores.shape == starts.shape
    assert np.isfinite(scores).all()


@every_detector
def test_windows_of_a_single_frame_have_scores(detector):
    frames = driven(seconds=8.0)
    assert np.isfinite(detector(frames, window_starts(frames.size, 1, 1), 1)).all()


@every_detector
@pytest.mark.parametrize("attack", ["DoS", "fuzzing"])
def test_floods_of_unknown_ids_are_found_without_training(detector, attack):
    frames = driven(attack)
    starts = window_starts(frames.size, 100, 100)
    assert roc_auc_score(labels_of(frames, starts), detector(frames, starts, 100)) > 0.95


@every_detector
def test_a_score_depends_on_no_other_window_nor_on_chunks(detector, monkeypatch):
    frames = driven("fuzzing")
    starts = window_starts(frames.size, 100, 30)
    scores = detector(frames, starts, 100)
    chosen = np.random.default_rng(0).integers(0, len(starts), 50)
    monkeypatch.setattr(baselines, "CHUNK_FRAMES", 700)
    assert np.array_equal(detector(frames, starts[chosen], 100), scores[chosen])


@every_detector
def test_past_the_warm_up_no_score_depends_on_what_comes_later(detector):
    frames = driven("fuzzing")
    starts = window_starts(frames.size, 100, 100)
    seen = int(np.searchsorted(frames.timestamp, frames.timestamp[0] + 12))
    known = starts + 100 <= seen
    past = Frames(*(column[:seen] for column in frames))
    assert np.array_equal(detector(past, starts[known], 100), detector(frames, starts, 100)[known])


@every_detector
def test_labels_and_the_capture_s_date_change_nothing(detector):
    frames = driven("spoofing")
    starts = window_starts(frames.size, 100, 100)
    other = frames._replace(label=1 - frames.label, timestamp=frames.timestamp + 2**20)
    assert np.allclose(detector(other, starts, 100), detector(frames, starts, 100))


@every_detector
@pytest.mark.parametrize(("starts", "size"), [([-1], 100), ([301], 100), ([0], 500), ([0], 0)])
def test_a_window_outside_the_capture_is_an_error(detector, starts, size):
    with pytest.raises(SchemaError, match="give the first frames"):
        detector(ODD["shorter than the warm-up"], np.array(starts), size)


# Whole milliseconds, exact in binary as 1/1024 s: plain Python and NumPy agree on what is exactly half a period.
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-50, 400)), min_size=5, max_size=80), st.sampled_from([0.5, 2.0, 100.0])
)
@example([(0, 100)] * 10, 0.5)
def test_the_rule_is_that_of_plain_python(pairs, warm_up_s):
    ids, times = [i for i, _ in pairs], np.cumsum([gap for _, gap in pairs]) / 1024
    starts = window_starts(len(ids), 5, 2)
    frames = frames_of(ids, times + 1.0)
    expected = plain_rule(ids, times.tolist(), starts, 5, warm_up_s) if np.ptp(times) > 0 else [0] * len(starts)
    assert warm_up_rule(frames, starts, 5, warm_up_s).tolist() == expected


def test_the_rule_is_that_of_plain_python_on_a_drive():
    frames = driven("fuzzing")
    starts = window_starts(frames.size, 100, 100)
    expected = plain_rule(frames.arbitration_id.tolist(), frames.timestamp.tolist(), starts, 100, 5.0)
    assert warm_up_rule(frames, starts, 100).tolist() == expected


def test_the_rule_finds_injections_and_leaves_normal_traffic_alone():
    for attack in ("DoS", "fuzzing", "spoofing", "malfunction"):
        frames = driven(attack)
        starts = window_starts(frames.size, 100, 100)
        flagged, labels = warm_up_rule(frames, starts, 100) >= RULE_THRESHOLD, labels_of(frames, starts)
        assert flagged[labels].mean() > 0.9, attack
        assert flagged[~labels].mean() < 0.02, attack


def test_half_a_period_is_not_too_soon_and_less_is():
    times = [*range(0, 12, 2), 11.0, 11.5]  # period 2 s, then a gap of one and a gap of a half
    assert warm_up_rule(frames_of([7] * 8, times), np.arange(8), 1).tolist() == [0] * 7 + [1]


def test_an_id_that_was_there_once_is_neither_new_nor_ever_too_soon():
    frames = frames_of([1, 7, 1, 1, 1, 7, 7, 9], [0, 0.5, 2, 4, 6, 6.1, 6.2, 6.3])
    assert warm_up_rule(frames, np.arange(8), 1).tolist() == [0] * 7 + [1]


def test_frames_within_the_warm_up_are_judged_too():
    frames = frames_of([7] * 9, [0, 1, 2, 2.1, 3, 4, 5, 6, 7])
    assert warm_up_rule(frames, np.array([0, 3]), 3).tolist() == [0, 1]


def test_without_a_clock_the_rule_still_knows_new_ids():
    frame = np.arange(10_200)
    ids = np.where(frame == 10_150, 99, frame % 7)  # after the 10000 frames that stand for 5 s
    stops = np.minimum(frame, 10_100.0)  # too soon from there on, if this were a clock
    for times in (
        np.full(10_200, 1.7e9),
        np.where(frame == 5, np.nan, stops),
        np.where(np.isin(frame, [5, 12]), np.inf, stops),
    ):
        scores = warm_up_rule(frames_of(ids, times), window_starts(10_200, 100, 100), 100)
        assert scores.tolist() == [0] * 101 + [1]


def test_entropy_is_counted_in_standard_deviations_of_the_warm_up():
    # 10 frames a second: windows of 4 with 2, 0, ... bits for 5 s, then one with 1 bit.
    ids = np.concatenate([np.tile([1, 2, 3, 4, 5, 5, 5, 5], 6), [1, 1], [1, 1, 2, 2]])
    frames = frames_of(ids, np.arange(len(ids)) / 10)
    assert id_entropy(frames, np.array([0, 4, 50]), 4) == pytest.approx([1, 1, 0])
    assert id_entropy(frames, np.array([0, 50]), 4, warm_up_s=0.1) == pytest.approx([0, 4])  # one window; 1/4 bit at least


def test_frequency_is_pearsons_chi_square_over_known_ids_and_one_class_of_all_others():
    rng = np.random.default_rng(0)
    ids = np.concatenate([rng.integers(0, 6, 50), rng.integers(0, 10, 20)])
    frames = frames_of(ids, np.arange(70) / 10)
    expected = []
    for start in (0, 50, 60):
        window = [i if i in set(ids[:50]) else "other" for i in ids[start : start + 10]]
        classes = [*sorted(set(ids[:50])), "other"]
        shares = {c: 10 * (np.sum(ids[:50] == c) + 1 if c != "other" else 1) / (50 + len(classes)) for c in classes}
        expected.append(sum((window.count(c) - shares[c]) ** 2 / shares[c] for c in classes))
    assert id_frequency(frames, np.array([0, 50, 60]), 10) == pytest.approx(expected)


def random_store(graphs=40, seed=0, edges=True):
    """A store of random graphs, as far as baselines look at it; attacks move one node feature of one node."""
    rng = np.random.default_rng(seed)
    node_offsets, edge_offsets = (np.concatenate([[0], np.cumsum(rng.integers(low, 9, graphs))]) for low in (1, 0))
    edge_offsets *= edges
    label = (rng.random(graphs) < 0.4).astype(np.uint8)
    x, edge_attr = (rng.normal(size=(offsets[-1], 3)).astype(np.float32) for offsets in (node_offsets, edge_offsets))
    x[node_offsets[:-1], 1] += 8 * label
    schema = {"name": "random", "version": 1, "node_features": ["id_index", "a", "b", "c"], "edge_features": ["d", "e", "f"]}
    return SimpleNamespace(
        x=x, edge_attr=edge_attr, node_offsets=node_offsets, edge_offsets=edge_offsets, label=label, schema=schema
    )


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("edges", [True, False])
def test_aggregates_are_those_of_each_window_alone_in_any_order(monkeypatch, chunk, edges):
    monkeypatch.setattr(baselines, "CHUNK_WINDOWS", chunk)
    store = random_store(edges=edges)
    windows = np.array([39, 0, 0, 17, *range(40)])
    expected = []
    for window in windows:
        x = store.x[store.node_offsets[window] : store.node_offsets[window + 1]]
        e = store.edge_attr[store.edge_offsets[window] : store.edge_offsets[window + 1]]
        of_edges = [e.mean(0), e.max(0)] if len(e) else [np.zeros(6)]
        expected.append(np.concatenate([x.max(0), x.mean(0), x.min(0), *of_edges]))
    found = window_aggregates(store, windows)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)
    assert window_aggregates(store, windows[:0]).shape == (0, 15)


@pytest.mark.parametrize("edges", [True, False])
def test_boosting_learns_and_scores_each_window_alone(edges):
    train, test = random_store(400, edges=edges), random_store(200, seed=1, edges=edges)
    boosting = Boosting.fit(train, np.arange(400), seed=0)
    scores = boosting.scores(test, np.arange(200))
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert roc_auc_score(test.label, scores) > 0.97
    assert np.array_equal(boosting.scores(test, np.array([5, 199, 5])), scores[[5, 199, 5]])
    assert boosting.scores(test, np.arange(0)).shape == (0,)
    assert np.array_equal(Boosting.fit(train, np.arange(400), seed=0).scores(test, np.arange(200)), scores)


@pytest.mark.parametrize("label", [0, 1])
def test_boosting_needs_both_classes(label):
    store = random_store()
    with pytest.raises(DatasetError, match="needs normal windows and windows with attacks"):
        Boosting.fit(store, np.flatnonzero(store.label == label), seed=0)
    with pytest.raises(DatasetError, match="of the 0 given"):
        Boosting.fit(store, np.arange(0), seed=0)


def test_boosting_refuses_graphs_with_other_features():
    store = random_store()
    boosting = Boosting.fit(store, np.arange(40), seed=0)
    store.schema = store.schema | {"version": 2}
    with pytest.raises(SchemaError, match="version 2"):
        boosting.scores(store, np.arange(40))


def test_boosting_finds_attacks_in_the_graphs_of_the_demo(dataset):
    store, test = dataset.train, dataset.test_stores()["test_01_known_vehicle_known_attack"]
    boosting = Boosting.fit(store, np.arange(len(store)), seed=0)
    assert roc_auc_score(test.label, boosting.scores(test, np.arange(len(test)))) > 0.9

"""Baselines: what their settings mean where nothing else is said, and warm-ups that are shorter than a window."""

from types import SimpleNamespace

import numpy as np
import pytest

from kdgat_models.can.frames import Frames
from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.baselines import (
    RULE_THRESHOLD,
    UNTRAINED,
    Boosting,
    id_entropy,
    id_frequency,
    untrained_scores,
    warm_up_rule,
    window_aggregates,
)


def frames_of(ids, times) -> Frames:
    n = len(ids)
    zeros = np.zeros(n, np.uint8)
    return Frames(np.asarray(times, float), np.asarray(ids, np.uint32), zeros, np.zeros((n, 8), np.uint8), zeros)


def test_two_alarms_in_a_window_are_called_an_attack_and_one_is_not():
    ids = np.where(np.isin(np.arange(300), [150, 250, 251]), 99, 7)  # an ID that the warm-up lacks, once and twice
    scores = warm_up_rule(frames_of(ids, np.arange(300) / 10), np.array([0, 100, 200]), 100)
    assert scores.tolist() == [0, 1, 2]
    assert (scores >= RULE_THRESHOLD).tolist() == [False, False, True]


@pytest.mark.parametrize(("second", "new"), [(4.9, 0), (5.0, 1), (5.1, 1)])
def test_the_warm_up_is_five_seconds_long_and_ends_with_the_frame_that_is_so_late(second, new):
    frames = frames_of([7, 7, 7, 9, 7], [0, 1, 2, second, 6])
    assert warm_up_rule(frames, np.array([0]), 5).tolist() == [new]
    assert warm_up_rule(frames, np.array([0]), 5, warm_up_s=5.0).tolist() == [new]


@pytest.mark.parametrize("detector", [id_entropy, id_frequency])
def test_norms_come_from_one_window_at_least(detector):
    frames = frames_of([1, 2, 3, 4, 1, 1, 2, 2], np.arange(8) / 10)
    short, just = (detector(frames, np.array([0, 4]), 4, warm_up_s=seconds) for seconds in (0.1, 0.4))
    assert short.tolist() == just.tolist()


def test_frequency_of_a_short_warm_up_by_hand():
    # Of the warm-up 1, 2, 3, 4: each counts as two of nine, all others as one, of which a window of four has 8/9 and 4/9.
    frames = frames_of([1, 2, 3, 4, 1, 1, 5, 6], np.arange(8) / 10)
    expected = [4 * 9 / 8 - 4, (4 * 9 / 8 + 4 * 9 / 4) - 4]
    assert id_frequency(frames, np.array([0, 4]), 4, warm_up_s=0.1) == pytest.approx(expected)


def test_entropy_by_hand():
    # The warm-up's windows have 2 and 1 bits: mean 1.5, deviation 0.5.
    frames = frames_of([1, 2, 3, 4, 1, 1, 2, 2, 5, 5, 5, 5, 1, 1, 1, 2], np.arange(16) / 10)
    bits = [0.0, 2 - 3 * np.log2(3) / 4]
    expected = [abs(value - 1.5) / 0.5 for value in bits]
    assert id_entropy(frames, np.array([8, 12]), 4, warm_up_s=0.8) == pytest.approx(expected)


def test_all_untrained_detectors_score_the_same_windows_by_name():
    rng = np.random.default_rng(0)
    frames, starts = frames_of(rng.integers(0, 9, 300), np.arange(300) / 10), np.array([200, 0, 100])
    found = untrained_scores("here", frames, starts, 100)
    assert list(found) == list(UNTRAINED) == ["warm_up_rule", "id_entropy", "id_frequency"]
    for name, score in (("warm_up_rule", warm_up_rule), ("id_entropy", id_entropy), ("id_frequency", id_frequency)):
        assert found[name].tolist() == score(frames, starts, 100).tolist()


def store_of(labels) -> SimpleNamespace:
    """Two nodes and no edge per window; the second feature of the second node is the label."""
    count = len(labels)
    x = np.zeros((2 * count, 2), np.float32)
    x[1::2, 1] = labels
    return SimpleNamespace(
        x=x,
        edge_attr=np.zeros((0, 1), np.float32),
        node_offsets=np.arange(0, 2 * count + 1, 2),
        edge_offsets=np.zeros(count + 1, np.int64),
        label=np.array(labels),
        schema={"name": "by hand", "version": 1, "node_features": ["id_index", "a", "b"], "edge_features": ["c"]},
    )


def test_aggregates_by_hand_are_maximum_mean_and_minimum_of_nodes_and_mean_and_maximum_of_edges():
    store = store_of([1, 0])
    store.edge_attr = np.array([[3.0], [5.0]], np.float32)
    store.edge_offsets = np.array([0, 2, 2])
    assert window_aggregates(store, np.array([0, 1])).tolist() == [[0, 1, 0, 0.5, 0, 0, 4, 5], [0] * 8]


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1]])
def test_boosting_says_how_many_windows_of_one_kind_it_was_given(labels):
    with pytest.raises(DatasetError, match=f"of the {len(labels)} given, {sum(labels)} have an attack. Add captures"):
        Boosting.fit(store_of(labels), np.arange(len(labels)), seed=0)


def test_log_odds_of_boosting_are_above_zero_for_attacks_and_below_for_others():
    store = store_of([0, 1] * 100)
    scores = Boosting.fit(store, np.arange(200), seed=0).scores(store, np.arange(200))
    assert (scores[1::2] > 2).all()
    assert (scores[::2] < -2).all()

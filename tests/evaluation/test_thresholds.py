"""Thresholds and temperatures by hand, and against the rule in plain Python."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdgat_models.evaluation.calibration import calibration_windows, probability, temperature
from kdgat_models.evaluation.thresholds import EVEN_ODDS, choose_thresholds, f1_threshold, false_alarm_threshold


def plain_thresholds(scores, labels, own):
    """The rule of `f1_threshold`, threshold by threshold; several results if several thresholds have the highest F1."""
    cuts = sorted(set(scores))

    def f1(cut):
        tp = sum(label == 1 and score >= cut for score, label in zip(scores, labels, strict=True))
        wrong = sum((score >= cut) != (label == 1) for score, label in zip(scores, labels, strict=True))
        return 2 * tp / (2 * tp + wrong), tp, wrong

    figures = [f1(cut) for cut in cuts]
    most = max(value for value, _, _ in figures)
    for best in (number for number, (value, _, _) in enumerate(figures) if value > most - 1e-9):
        _, tp, wrong = figures[best]
        enough = 2 * tp / (2 * tp + wrong + math.sqrt(max(wrong, 1))) - 1e-9
        low = high = best
        while low > 0 and figures[low - 1][0] >= enough:
            low -= 1
        while high + 1 < len(cuts) and figures[high + 1][0] >= enough:
            high += 1
        if own is None:
            yield ((cuts[low - 1] if low else cuts[low]) + cuts[high]) / 2
        else:
            yield min(max(own, cuts[low - 1] if low else -math.inf), cuts[high])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=40),
    st.none() | st.sampled_from([-5.0, 0.0, 3.25, 9.5, 25.0]),
)
@example([(0, 1), (0, 2), (0, 3), (1, 4)], None)
def test_the_f1_threshold_is_that_of_the_rule(pairs, own):
    labels, scores = [1, *(pair[0] for pair in pairs)], [7.0, *(float(pair[1]) for pair in pairs)]
    found = f1_threshold(np.array(scores), np.array(labels), own)
    assert any(found == pytest.approx(expected, abs=1e-9) for expected in plain_thresholds(scores, labels, own))


@pytest.mark.parametrize(
    ("own", "threshold"), [(None, 4.0), (0.0, 3.0), (3.5, 3.5), (4.75, 4.75), (5.0, 5.0), (9.0, 5.0), (EVEN_ODDS, 3.0)]
)
def test_a_threshold_by_hand(own, threshold):
    # Normal windows at 1 to 4, attacks at 5 to 8. All right from 5 on; from 4 on there is one false alarm, F1 = 8/9, which a
    # standard error of one allows; from 3 on there are two, and from 6 on an attack is missed: F1 = 6/7.
    found = f1_threshold(np.arange(1.0, 9), np.repeat([0, 1], 4), own)
    assert found == pytest.approx(threshold)
    if threshold == 3.0:
        assert found > 3.0  # a window at 3 is none


def test_where_all_thresholds_are_as_good_the_lowest_counts_and_own_may_lie_below():
    scores, labels = np.array([2.0, 4.0]), np.array([1, 1])
    assert f1_threshold(scores, labels) == 2.0  # above 2, an attack of two is missed
    assert f1_threshold(scores, labels, own=-9.0) == -9.0


@pytest.mark.parametrize(
    ("count", "budget", "below"),
    [
        (19, 0.1, 17),
        (20, 0.1, 18),
        (9, 0.1, 8),
        (8, 0.1, 7),
        (999, 0.001, 998),
        (998, 0.001, 997),
        (199, 0.05, 189),
        (1, 0.5, 0),
    ],
)
def test_a_false_alarm_threshold_lies_just_above_the_score_of_its_rank(count, budget, below):
    shuffled = np.random.default_rng(0).permutation(count).astype(np.float32)
    assert false_alarm_threshold(shuffled, budget) == math.nextafter(below, math.inf)


def test_thresholds_of_all_rules_by_hand():
    scores = np.concatenate([np.arange(2000.0), [5000.0, 6000.0]])
    labels = np.repeat([0, 1], [2000, 2])
    found = choose_thresholds(scores, labels)
    ranks = {"fpr_0.05": 1901, "fpr_0.01": 1981, "fpr_0.001": 1999}  # of 2001 times 0.95, 0.99, 0.999, rounded up
    assert found == {"f1": pytest.approx((1998 + 5000) / 2), **{k: math.nextafter(r - 1, math.inf) for k, r in ranks.items()}}
    assert choose_thresholds(scores, labels, own=4000.0)["f1"] == 4000.0
    assert list(found) == ["f1", "fpr_0.05", "fpr_0.01", "fpr_0.001"]


def test_temperatures_end_where_scores_are_as_good_as_silenced_or_as_sure_as_can_be():
    sure, labels = np.array([-30.0, -20.0, 20.0, 30.0]), np.array([0, 0, 1, 1])
    assert temperature(sure / 1000, labels) == pytest.approx(math.exp(-4), rel=1e-2)
    assert temperature(-sure, labels) == pytest.approx(math.exp(6), rel=1e-2)


def test_the_temperature_is_the_most_likely_of_all_that_are_tried():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=300) * 5, rng.integers(0, 2, 300)
    labels[:200] = scores[:200] > 0

    def unlikely(t):
        return np.logaddexp(0, np.where(labels == 1, -scores, scores) / t).mean()  # minus the logarithm of the probability

    tried = np.exp(np.linspace(-2, 4, 601))
    assert temperature(scores, labels) == pytest.approx(tried[np.argmin([unlikely(t) for t in tried])], rel=0.02)


def test_a_probability_is_the_logistic_of_the_score_over_the_temperature():
    assert probability(np.array([-2.0, 0.0, 2 * math.log(3)]), 2.0).tolist() == pytest.approx([1 / (1 + math.e), 0.5, 0.75])


def store_of(windows, recorded, label):
    """As far as the choice of calibration windows looks at a store: two captures, each with half of the windows."""
    captures = [SimpleNamespace(recorded=of_capture) for of_capture in recorded]
    capture = np.repeat([0, 1], windows // 2)
    return SimpleNamespace(windows=lambda role: np.arange(windows), captures=captures, capture=capture, label=label)


@pytest.mark.parametrize(
    ("first_half", "chosen"), [([0, 1], range(4)), ([0, 0], range(8)), ([1, 1], range(8))], ids=["both", "normal", "attacks"]
)
def test_copies_decide_only_where_what_was_recorded_lacks_one_of_both_kinds(first_half, chosen):
    store = store_of(8, [True, False], np.array(first_half * 2 + [0, 1, 0, 1]))
    assert calibration_windows(store).tolist() == list(chosen)
    assert calibration_windows(store, 2).tolist() == [chosen[0], chosen[len(chosen) // 2]]


def test_no_more_than_8192_windows_are_calibrated_on():
    assert len(calibration_windows(store_of(20_000, [True, True], np.arange(20_000) % 2))) == 8192

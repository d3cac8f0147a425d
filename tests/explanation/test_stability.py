"""How alike several importances are: by hand, against scipy, and by what must hold of any."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import kendalltau

from kdgat_models.errors import ConfigError
from kdgat_models.explanation.stability import (
    chance_jaccard,
    chance_kendall,
    jaccard,
    kendall_tau,
    nogueira,
    nogueira_interval,
    stability,
    top_features,
)

ABC = np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 2.0, 3.0, 1.0], [4.0, 3.0, 1.0, 2.0]])  # top 2: {0, 1}, {0, 2}, {0, 1}


def sets(rows):
    return np.array([[mark == "x" for mark in row] for row in rows])


def test_three_rankings_of_four_features_by_hand():
    found = stability(ABC, 2)
    assert (found.snapshots, found.top) == (3, 2)
    assert found.jaccard == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert found.kendall == pytest.approx((4 / 6 + 4 / 6 + 2 / 6) / 3)  # one, one and two of six pairs stand the other way
    # p = 1, 2/3, 1/3, 0; s^2 = 3/2 * 2/9 twice; by chance 1/2 * 1/2
    assert found.nogueira == pytest.approx(1 - (2 * (3 / 2) * (2 / 9) / 4) / (1 / 4))
    assert found.always == (0,)
    assert [(feature, share) for feature, share in found.sometimes] == [(1, pytest.approx(2 / 3)), (2, pytest.approx(1 / 3))]


def test_the_interval_of_three_sets_by_hand():
    # Own values phi_i: of {0, 1} ((1 + 2/3) / 4 - 1/4) / (1/4) + index / 2 * 4 * 1/2, of {0, 2} with 1/3 in place of 2/3.
    index, apart = 1 / 3, 1 / 3
    half = 1.959964 * np.sqrt(4 / 9 * apart**2 * (2 / 9 + 4 / 9))
    low, high = nogueira_interval(sets(["xx..", "x.x.", "xx.."]), 0.95)
    assert (low, high) == (pytest.approx(index - half, abs=1e-6), pytest.approx(index + half, abs=1e-6))


def test_the_interval_of_sets_of_different_size_is_that_of_the_jackknife():
    """The sizes count in Theorem 7; leaving out one set after the other estimates the same variance by other means."""
    generator = np.random.default_rng(5)
    chosen = generator.random((400, 12)) < np.linspace(0.1, 0.9, 12) * generator.uniform(0.3, 1, (400, 1))
    left_out = np.array([nogueira(np.delete(chosen, row, 0)) for row in range(len(chosen))])
    variance = (len(chosen) - 1) / len(chosen) * ((left_out - left_out.mean()) ** 2).sum()
    low, high = nogueira_interval(chosen, 0.95)
    assert (high - low) / 2 / 1.959964 == pytest.approx(np.sqrt(variance), rel=0.02)


def test_the_interval_covers_the_true_index():
    """Sets whose features are drawn independently: the true index is 1 - mean p (1 - p) / (k / d (1 - k / d))."""
    p = np.array([0.95, 0.9, 0.8, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01])
    true = 1 - (p * (1 - p)).mean() / (p.mean() * (1 - p.mean()))
    generator, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        low, high = nogueira_interval(generator.random((60, 10)) < p, 0.95)
        covered += low <= true <= high
    assert 0.92 < covered / 1000 < 0.98


def test_random_sets_are_as_stable_as_chance():
    generator = np.random.default_rng(1)
    chosen = np.array([np.isin(np.arange(40), generator.choice(40, 10, replace=False)) for _ in range(500)])
    assert nogueira(chosen) == pytest.approx(0, abs=0.01)
    low, high = nogueira_interval(chosen, 0.95)
    assert low < 0 < high


def test_sets_without_a_common_feature_have_the_least_index_there_is():
    assert nogueira(sets(["xx..", "..xx"])) == pytest.approx(-1)  # -1 / (M - 1)


rankings = arrays.arrays(np.float64, st.tuples(st.integers(2, 6), st.just(9)), elements=st.integers(-3, 3).map(float))


@given(rankings, st.integers(1, 8))
def test_whatever_is_compared_lies_between_its_bounds_and_does_not_depend_on_the_order(importances, top):
    found = stability(importances, top)
    assert found.jaccard is None or 0 <= found.jaccard <= 1
    assert found.kendall is None or -1 - 1e-9 <= found.kendall <= 1 + 1e-9
    assert found.nogueira is None or -1 / (len(importances) - 1) - 1e-9 <= found.nogueira <= 1 + 1e-9
    assert {*found.always}.isdisjoint(feature for feature, _ in found.sometimes)
    turned = stability(importances[::-1], top)
    assert turned.always == found.always
    assert turned.sometimes == found.sometimes
    for name in ("jaccard", "kendall", "nogueira"):
        a, b = getattr(found, name), getattr(turned, name)
        assert a == b or a == pytest.approx(b)


@given(arrays.arrays(np.float64, 8, elements=st.integers(0, 100).map(float), unique=True), st.integers(1, 7), st.integers(2, 5))
def test_the_same_again_is_stable(importance, top, count):
    found = stability(np.tile(importance, (count, 1)), top)
    assert (found.jaccard, found.nogueira) == (1, pytest.approx(1))
    assert found.kendall == pytest.approx(1)
    assert len(found.always) == top
    assert found.sometimes == ()
    assert found.interval is None if count == 2 else found.interval == pytest.approx((1, 1))


@given(*[arrays.arrays(np.float64, 7, elements=st.integers(0, 3).map(float))] * 2)
def test_tau_is_that_of_scipy(first, second):
    ours, theirs = kendall_tau(first, second), kendalltau(first, second).statistic
    assert (ours is None) == bool(np.isnan(theirs))
    assert ours is None or ours == pytest.approx(theirs)


def test_equal_importances_are_not_chosen_by_their_place_in_the_list():
    assert top_features(np.array([5.0, 1.0, 1.0, 0.0]), 2).tolist() == [True, False, False, False]
    assert top_features(np.array([5.0, 1.0, 1.0, 0.0]), 3).tolist() == [True, True, True, False]


def test_importances_that_are_all_the_same_choose_nothing_and_order_nothing():
    found = stability(np.ones((3, 5)), 2)
    assert (found.jaccard, found.kendall, found.nogueira, found.interval) == (None, None, None, None)
    assert (found.always, found.sometimes) == ((), ())


def test_one_constant_set_does_not_hide_the_others():
    found = stability(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]), 1)
    assert found.kendall == pytest.approx(1)  # of the one pair that is defined
    assert found.jaccard == pytest.approx(1 / 3)  # of an empty set and another: nothing in common


def test_one_set_alone_is_refused():
    with pytest.raises(ConfigError, match="at least two sets of importances, 1 given"):
        stability(ABC[:1], 2)


@pytest.mark.parametrize("top", [0, 4, 5])
def test_a_top_that_says_nothing_is_refused(top):
    with pytest.raises(ConfigError, match="choose from 1 to 3"):
        stability(ABC, top)


def test_all_features_have_no_index():
    assert nogueira(np.ones((3, 4), bool)) is None
    assert nogueira_interval(np.ones((3, 4), bool), 0.95) is None


def test_two_empty_sets_have_no_jaccard_index():
    assert jaccard(np.zeros(3, bool), np.zeros(3, bool)) is None


@pytest.mark.parametrize(("features", "top"), [(6, 2), (7, 3), (9, 4)])
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_chance_of_a_jaccard_index_is_that_of_all_sets(features, top, level):
    first = {*range(top)}
    found = [len(first & {*other}) / len(first | {*other}) for other in combinations(range(features), top)]
    least = chance_jaccard(features, top, level)
    rare = [value for value in sorted({*found}) if sum(other >= value for other in found) / len(found) <= level]
    assert least == (pytest.approx(rare[0]) if rare else None)


def test_where_even_the_same_set_is_not_rare_there_is_no_verdict():
    assert chance_jaccard(4, 1, 0.05) is None


def test_tau_of_unrelated_rankings_is_rarely_above_that_of_chance():
    generator = np.random.default_rng(3)
    least = chance_kendall(30, 0.05)
    taus = np.array([kendall_tau(generator.permutation(30) + 0.0, np.arange(30.0)) for _ in range(2000)])
    assert 0.035 < (taus > least).mean() < 0.065

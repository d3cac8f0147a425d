from math import erf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from kdgat_models.errors import ConfigError, DatasetError, SchemaError
from kdgat_models.evaluation import bootstrap
from kdgat_models.evaluation.bootstrap import METRICS, Interval, ScoredWindows, interval, time_blocks

DISTANCE = 1.5  # between the means of normal and attack scores, in standard deviations
TRUE_AUC = (1 + erf(DISTANCE / 2)) / 2  # the probability that an attack's score is above a normal one's
PAIR = ScoredWindows(np.array([1, 1]), np.array([[1.0, 0.0]]), np.array([0.5]), np.array([0, 1]))


def simulated(rng, blocks, per_block=50, seeds=1):
    """Windows whose scores share no more than their block's luck."""
    block = np.repeat(np.arange(blocks), per_block)
    labels = (rng.random(len(block)) < 0.3).astype(int)
    scores = rng.normal(size=(seeds, len(block))) + DISTANCE * labels
    return ScoredWindows(labels, scores, np.full(seeds, 1.0), block)


def width(found):
    return found.high - found.low


def generator():
    return np.random.default_rng(0)


def test_a_block_found_and_a_block_missed_give_the_f1_of_each_draw():
    # The draws are both found (1/4, F1 1), one of each (1/2, F1 2/3) and both missed (1/4, F1 0).
    assert interval("f1", PAIR, generator()) == Interval(2 / 3, 0.0, 1.0)
    assert interval("f1", PAIR, generator(), level=0.6) == Interval(2 / 3, 0.0, 1.0)
    assert interval("f1", PAIR, generator(), level=0.4) == Interval(2 / 3, 2 / 3, 2 / 3)


def test_seeds_are_drawn_too_and_their_f1_is_averaged():
    # Blocks are alike, so only seeds differ: one has F1 1, the other 0. Their draws have a mean of 0, 1/2 or 1.
    scores = np.array([[1.0] * 4, [0.0] * 4])
    windows = ScoredWindows(np.ones(4, int), scores, np.array([0.5, 0.5]), np.arange(4))
    assert interval("f1", windows, generator()) == Interval(0.5, 0.0, 1.0)
    assert interval("f1", windows, generator(), level=0.4) == Interval(0.5, 0.5, 0.5)


def test_each_seed_is_flagged_at_its_own_threshold():
    windows = ScoredWindows(np.array([1, 0, 1, 0]), np.array([[3.0, 2, 3, 2], [9, 8, 9, 8]]), np.array([3.0, 9]), np.arange(4))
    assert interval("f1", windows, generator()).value == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_seeds_that_agree_add_nothing_to_the_luck_of_windows(metric):
    one = simulated(generator(), 40)
    three = one._replace(scores=np.repeat(one.scores, 3, axis=0), thresholds=np.ones(3))
    assert interval(metric, three, generator()) == pytest.approx(interval(metric, one, generator()))


def test_the_value_is_that_of_scikit_learn():
    windows = simulated(generator(), 40, seeds=2)
    aucs = [roc_auc_score(windows.labels, scores) for scores in windows.scores]
    f1s = [f1_score(windows.labels, scores >= 1.0) for scores in windows.scores]
    assert interval("roc_auc", windows, generator()).value == pytest.approx(np.mean(aucs))
    assert interval("f1", windows, generator()).value == pytest.approx(np.mean(f1s))


def test_intervals_cover_the_true_auc_about_as_often_as_they_say():
    # The share in thousands of repetitions is 93 %, as bootstraps of 40 units have it; of a hundred, 86 to 99 may.
    rng = generator()
    found = [interval("roc_auc", simulated(rng, 40, 20), rng, resamples=200) for _ in range(100)]
    assert 86 <= sum(one.low < TRUE_AUC < one.high for one in found) <= 99


@pytest.mark.parametrize("metric", METRICS)
def test_an_interval_widens_with_fewer_blocks(metric):
    widths = [width(interval(metric, simulated(generator(), blocks), generator())) for blocks in (320, 80, 20)]
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.4)  # a quarter of the traffic
    assert widths[2] / widths[1] == pytest.approx(2, rel=0.4)


@pytest.mark.parametrize("metric", METRICS)
def test_copies_of_a_window_promise_no_more_than_the_window(metric):
    windows = simulated(generator(), 100, per_block=5)
    copies = ScoredWindows(*(np.repeat(column, 9, axis=-1) for column in windows))._replace(thresholds=windows.thresholds)
    honest = interval(metric, windows, generator())
    assert interval(metric, copies, generator()) == pytest.approx(honest, abs=2e-3)
    loose = interval(metric, copies._replace(blocks=np.arange(len(copies.labels))), generator())
    assert width(loose) < width(honest) / 2


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_generator_gives_the_same_interval_and_another_does_not(metric):
    windows = simulated(generator(), 30, seeds=2)
    assert interval(metric, windows, generator()) == interval(metric, windows, generator())
    assert interval(metric, windows, generator()) != interval(metric, windows, np.random.default_rng(1))


def test_drawing_in_parts_keeps_every_resample(monkeypatch):
    windows = simulated(generator(), 30)
    whole = interval("f1", windows, generator(), resamples=100)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 30 * 7)
    assert interval("f1", windows, generator(), resamples=100) == whole


@pytest.mark.parametrize("metric", METRICS)
def test_names_of_blocks_do_not_matter(metric):
    windows = simulated(generator(), 30)
    renamed = windows._replace(blocks=windows.blocks * 1000 - 7)
    assert interval(metric, renamed, generator()) == interval(metric, windows, generator())


def binned_auc(labels, scores):
    cell, cells = bootstrap._score_cells(labels == 1, scores, 0.0)
    return bootstrap._roc_auc(np.bincount(cell, minlength=cells)[None].astype(float))[0]


@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("distance", [0.0, 1.5, 4.0])
def test_the_auc_of_bins_is_that_of_scikit_learn_to_four_digits(share, distance):
    rng = generator()
    labels = (rng.random(50_000) < share).astype(int)
    scores = rng.normal(size=50_000) + distance * labels
    assert binned_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=5e-5)


def test_the_auc_of_bins_stays_within_its_bound_at_worst():
    # Pairs (2k, 2k + 1) of scores that change sides in every bin: no bin sees the order within it.
    scores = np.arange(100_000.0)
    for labels in (np.arange(100_000) % 2, 1 - np.arange(100_000) % 2, np.arange(100_000) // 150 % 2):
        bound = 0.5 / (bootstrap.QUANTILES - 1)
        assert binned_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=bound)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), max_size=100))
def test_the_auc_of_bins_is_exact_where_scores_repeat(pairs):
    labels, scores = np.array([0, 1, *(p[0] for p in pairs)]), np.array([3, 7, *(p[1] for p in pairs)], float)
    assert binned_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_infinite_and_saturated_scores_are_scores():
    scores = np.r_[np.full(900, -np.inf), np.linspace(0, 1, 50), np.full(50, np.inf)]
    labels = (np.arange(1000) >= 890).astype(int)
    assert binned_auc(labels, scores) == pytest.approx(roc_auc_score(labels, np.clip(scores, -1, 2)), abs=1e-12)


def test_a_metric_that_the_labels_leave_undefined_is_none():
    nothing = Interval(None, None, None)
    normal = PAIR._replace(labels=np.zeros(2, int))
    assert interval("f1", normal, generator()) == nothing
    assert interval("roc_auc", normal, generator()) == nothing
    assert interval("roc_auc", PAIR, generator()) == nothing


@pytest.mark.parametrize("metric", METRICS)
def test_one_block_says_nothing_of_how_traffic_varies(metric):
    windows = simulated(generator(), 1)
    found = interval(metric, windows, generator())
    assert found.value is not None
    assert (found.low, found.high) == (None, None)


def test_an_interval_needs_attacks_in_nearly_all_draws_of_blocks():
    # One block is a found attack, one a false alarm: a quarter of the draws has no attack, and F1 is undefined there.
    windows = PAIR._replace(labels=np.array([1, 0]), scores=np.array([[1.0, 1.0]]))
    assert interval("f1", windows, generator()) == Interval(2 / 3, None, None)
    assert interval("f1", windows, generator(), level=0.7) == Interval(2 / 3, 2 / 3, 1.0)


def test_blocks_are_equal_runs_of_windows_that_end_with_their_capture():
    captures = np.array([4] * 8 + [9] * 2 + [5] * 3)
    assert time_blocks(captures, 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4]
    assert time_blocks(captures, 1).tolist() == list(range(13))
    assert time_blocks(captures[:0], 3).tolist() == []


def test_wrong_settings_and_arrays_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="no interval for metric 'kappa'; choose one of f1, roc_auc"):
        interval("kappa", PAIR, generator())
    for settings_ in ({"resamples": 0}, {"level": 1.0}):
        with pytest.raises(ConfigError, match="at least 1 resample and a level within"):
            interval("f1", PAIR, generator(), **settings_)
    with pytest.raises(ConfigError, match="at least 1 window"):
        time_blocks(np.zeros(3, int), 0)
    for wrong in ({"blocks": np.zeros(3, int)}, {"thresholds": np.zeros(2)}, {"scores": np.zeros(2)}):
        with pytest.raises(SchemaError, match="give scores"):
            interval("f1", PAIR._replace(**wrong), generator())
    with pytest.raises(DatasetError, match="window 1 by seed 0 is NaN"):
        interval("f1", PAIR._replace(scores=np.array([[1.0, np.nan]])), generator())


@pytest.mark.parametrize(
    ("lengths", "windows_per_block", "blocks"),
    [
        ((1, 20), 10, [1, 10, 10]),  # a capture far shorter than a block is one
        ((20,), 7, [7, 7, 6]),
        ((24,), 10, [12, 12]),
        ((26,), 10, [9, 9, 8]),
        ((5, 5), 100, [5, 5]),
        ((3,), 1, [1, 1, 1]),
    ],
)
def test_captures_are_cut_into_parts_nearest_to_the_length_that_is_asked_for(lengths, windows_per_block, blocks):
    found = time_blocks(np.repeat(np.arange(len(lengths)), lengths), windows_per_block)
    assert np.bincount(found).tolist() == blocks
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores": np.zeros((0, 2)), "thresholds": np.zeros(0)},
        {"scores": np.zeros((2, 2))},
        {"scores": np.zeros((1, 3))},
        {"scores": np.zeros((1, 1, 2))},
        {"labels": np.ones(3, int)},
        {"blocks": np.zeros(1, int)},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(wrong):
    with pytest.raises(SchemaError, match=r"do not belong together; give scores \[seeds, windows\]"):
        interval("f1", PAIR._replace(**wrong), generator())


@pytest.mark.parametrize("settings_", [{"resamples": 0}, {"level": 0.0}, {"level": 1.0}, {"level": -0.5}])
def test_settings_beyond_their_borders_are_refused(settings_):
    with pytest.raises(ConfigError, match="give at least 1 resample and a level within"):
        interval("f1", PAIR, generator(), **settings_)


def test_one_resample_is_an_interval_of_one_value():
    found = interval("f1", PAIR, generator(), resamples=1)
    assert found.low == found.high
    assert found.low in {0.0, 2 / 3, 1.0}


def test_a_score_that_is_no_number_is_named_by_window_and_seed():
    scores = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, np.nan]])
    windows = ScoredWindows(np.array([1, 0, 1]), scores, np.array([0.5, 0.5]), np.arange(3))
    with pytest.raises(DatasetError, match="the score of window 2 by seed 1 is NaN"):
        interval("f1", windows, generator())


def test_without_further_settings_an_interval_holds_95_in_100_of_a_thousand_resamples():
    # A hundred blocks of one attack each, half of them found: the F1 of k found ones is 2k / (100 + k).
    found = (np.arange(100) < 50).astype(float)
    windows = ScoredWindows(np.ones(100, int), found[None], np.array([0.5]), np.arange(100))
    made = interval("f1", windows, generator())
    assert made == interval("f1", windows, generator(), resamples=1000, level=0.95)
    ends = [2 * k / (100 + k) for k in (50 - 1.96 * 5, 50 + 1.96 * 5)]  # a binomial's standard deviation is 5
    assert (made.low, made.high) == pytest.approx(ends, abs=0.015)

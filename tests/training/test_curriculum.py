"""Which windows an epoch is made of, by hand: borders, ties, rounding, and what is drawn at random."""

import numpy as np
import pytest

from config.sections import CurriculumConfig
from kdgat_models.errors import DatasetError
from kdgat_models.training.curriculum import Curriculum, Stage, make_sampler

NORMAL, ATTACK = np.arange(100), np.arange(100, 110)
EASY_FIRST = np.arange(100, dtype=np.float32)


def sampler(sampling, normal=NORMAL, attack=ATTACK, difficulty=EASY_FIRST, **options):
    return make_sampler(normal, attack, difficulty, CurriculumConfig(sampling=sampling, **options))


def drawn(made, epoch=0, seed=0):
    return made.windows(epoch, np.random.default_rng(seed)).tolist()


@pytest.mark.parametrize(
    ("epochs", "stages"),
    [
        (1, [(1, 20), (9, 80), (9, 80)]),
        (2, [(1, 20), (9, 80), (9, 80)]),
        (5, [(1, 20), (3, 35), (5, 50), (7, 65), (9, 80), (9, 80)]),
    ],
)
def test_ratio_and_percentile_go_in_a_straight_line_from_start_to_end(epochs, stages):
    made = sampler("curriculum", epochs=epochs, ratio_start=1, ratio_end=9, percentile_start=20, percentile_end=80)
    assert isinstance(made, Curriculum)
    found = [made.stage(epoch) for epoch in range(len(stages))]
    np.testing.assert_allclose(found, stages)
    assert found[0] == Stage(ratio=1, percentile=20)
    assert made.settled_after == epochs


def test_the_easiest_share_is_rounded_up_and_nothing_is_drawn_twice():
    for percentile, allowed in ((1, 1), (25, 3), (30, 3), (31, 4)):
        made = sampler("curriculum", NORMAL[:10], difficulty=EASY_FIRST[:10], percentile_start=percentile, ratio_start=10)
        assert sorted(drawn(made)) == [*range(allowed), *ATTACK]


def test_the_ratio_is_one_of_normal_to_attack_windows_and_one_normal_window_is_always_there():
    for ratio, count in ((0.01, 1), (0.14, 1), (0.26, 3), (2.5, 25), (9.0, 90), (50.0, 100)):
        made = sampler("curriculum", ratio_start=ratio, percentile_start=100)
        windows = drawn(made)
        normal = [window for window in windows if window < 100]
        assert len(normal) == len(set(normal)) == count
        assert sorted(set(windows) - set(normal)) == ATTACK.tolist()


def test_normal_windows_of_a_curriculum_are_drawn_anew():
    made = sampler("curriculum", ratio_start=1, percentile_start=100)
    assert set(drawn(made, seed=0)) != set(drawn(made, seed=1))


TIES = (np.arange(100) % 2).astype(np.float32)  # even windows are easy, odd ones hard


def test_windows_that_are_equally_hard_come_in_their_own_order():
    easiest = sampler("curriculum", difficulty=TIES, ratio_start=10, percentile_start=25)
    assert sorted(drawn(easiest)) == [*range(0, 50, 2), *ATTACK]
    hardest = sampler("hard_undersample", difficulty=TIES, undersample_ratio=2)
    assert drawn(hardest) == [*range(1, 40, 2), *ATTACK]


@pytest.mark.parametrize(("ratio", "count"), [(0.01, 1), (0.26, 3), (1.0, 10), (9.9, 99), (50.0, 100)])
def test_the_hardest_windows_are_as_many_as_the_ratio_says_and_one_at_least(ratio, count):
    assert drawn(sampler("hard_undersample", undersample_ratio=ratio)) == [*range(99, 99 - count, -1), *ATTACK]


def test_all_windows_are_those_of_both_kinds_in_every_epoch():
    made = sampler("normal", difficulty=None)
    assert drawn(made) == drawn(made, epoch=5, seed=1) == [*NORMAL, *ATTACK]


@pytest.mark.parametrize("most", [110, 111])
def test_windows_that_fit_into_an_epoch_are_not_drawn_by_lot(most):
    assert drawn(sampler("normal", windows_per_epoch=most)) == [*NORMAL, *ATTACK]


@pytest.mark.parametrize("sampling", ["normal", "hard_undersample", "curriculum"])
def test_of_more_windows_than_fit_none_is_taken_twice_and_each_epoch_takes_others(sampling):
    made = sampler(sampling, windows_per_epoch=14, ratio_start=10, percentile_start=100)
    first, second = drawn(made, seed=0), drawn(made, seed=1)
    assert len(set(first)) == len(set(second)) == 14
    assert set(first) != set(second)


@pytest.mark.parametrize(
    ("normal", "attack", "most", "each"), [(100, 10, 7, 3), (5, 7, 100, 7), (7, 5, 100, 7), (5, 7, 12, 6), (3, 3, 2, 1)]
)
def test_balanced_takes_half_an_epoch_of_each_kind_but_no_more_than_there_are_of_the_commoner(normal, attack, most, each):
    windows = drawn(sampler("balanced", NORMAL[:normal], ATTACK[:attack], None, windows_per_epoch=most))
    for side, count in ((NORMAL[:normal], normal), (ATTACK[:attack], attack)):
        mine = [window for window in windows if window in side]
        assert len(mine) == each
        if count >= each:
            assert len(set(mine)) == each  # none twice, where there are enough


def test_an_epoch_of_one_window_has_one():
    assert len(drawn(sampler("balanced", windows_per_epoch=1))) == 1


@pytest.mark.parametrize(("sampling", "settled"), [("normal", 0), ("balanced", 0), ("hard_undersample", 0), ("curriculum", 4)])
def test_only_a_curriculum_takes_epochs_to_settle(sampling, settled):
    assert sampler(sampling, epochs=4).settled_after == settled


@pytest.mark.parametrize("sampling", ["curriculum", "hard_undersample"])
def test_a_ranking_without_an_autoencoder_is_an_error_that_names_the_sampling(sampling):
    with pytest.raises(DatasetError, match=f"curriculum.sampling={sampling} ranks windows by an autoencoder, and none was"):
        sampler(sampling, difficulty=None)


@pytest.mark.parametrize(("normal", "attack"), [(3, 0), (0, 2)])
def test_one_kind_of_windows_alone_is_an_error_that_counts_both(normal, attack):
    with pytest.raises(DatasetError, match=f"there are {normal} and {attack}. Add labelled captures"):
        sampler("balanced", NORMAL[:normal], ATTACK[:attack])

"""Which snapshots are compared, and when the newest is said to disagree."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from kdgat_models.errors import ConfigError
from kdgat_models.explanation.agreement import CHANCE, TOP_FEATURES, agreements, disagreement, grouped
from kdgat_models.explanation.importance import Feature, ranked
from kdgat_models.explanation.snapshots import Origin, Snapshot
from kdgat_models.explanation.stability import chance_jaccard, chance_kendall

FEATURES = tuple(Feature("node", f"f{number}") for number in range(40))
ORDER = tuple(range(40))
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def snapshot(run_id, order=ORDER, hours=0, fold=None, features=FEATURES, **origin):
    """Of a training in which the features count in this order."""
    importance = np.empty(len(features))
    importance[list(order)] = np.arange(len(features), 0, -1.0)
    known = {"dataset": "demo", "protocol": None, "variant": "large", "model": "gat", "scale": "large", "seed": 0, **origin}
    rows = tuple(ranked(features, importance))
    return Snapshot(Origin(run_id, **known), fold, "integrated_gradients", 40, NOON + timedelta(hours=hours), rows)


def members(snapshots, by):
    """By name of the group: what tells its snapshots apart, and which run each is."""
    return {
        group.name: {key: item.origin.run_id for key, item in found.items()} for group, found in grouped(snapshots, by).items()
    }


def test_seeds_are_compared_within_dataset_variant_and_fold_and_the_newest_of_each_counts():
    snapshots = [
        snapshot("new", hours=2),
        snapshot("old", hours=1),
        snapshot("other seed", seed=1),
        snapshot("other variant", variant="small_kd"),
        snapshot("other dataset", dataset="set_01"),
        snapshot("other fold", fold="alpha"),
    ]
    assert members(snapshots, "seed") == {
        "demo/large": {"0": "new", "1": "other seed"},
        "demo/small_kd": {"0": "other variant"},
        "set_01/large": {"0": "other dataset"},
        "demo/large alpha": {"0": "other fold"},
    }


def test_a_dataset_alone_and_in_a_protocol_are_two_groups():
    found = grouped([snapshot("a"), snapshot("b", seed=1, protocol="official")], "seed")
    assert [group.name for group in found] == ["demo/large", "official/large"]


def test_seeds_of_other_settings_are_not_compared_but_retrainings_with_them_are():
    trained = [snapshot("a", settings="x"), snapshot("b", seed=1, settings="y"), snapshot("c", hours=1, settings="y")]
    assert sorted(len(found) for found in grouped(trained, "seed").values()) == [1, 2]
    (retrained,) = (found for group, found in grouped(trained, "retraining").items() if group.seed == 0)
    assert list(retrained) == ["a", "c"]


def test_members_stand_in_the_order_of_their_trainings():
    snapshots = [snapshot("old", hours=1), snapshot("other seed", hours=2, seed=1), snapshot("new", hours=3)]
    ((_, found),) = members(snapshots, "seed").items()
    assert list(found) == ["1", "0"]


def test_folds_are_compared_within_a_seed_and_what_is_of_no_fold_is_left_out():
    folds = [snapshot(name, fold=name) for name in ("alpha", "bravo")]
    assert members([*folds, snapshot("none"), snapshot("c", fold="alpha", seed=1)], "fold") == {
        "demo/large seed 0": {"alpha": "alpha", "bravo": "bravo"},
        "demo/large seed 1": {"alpha": "c"},
    }


def test_retrainings_are_all_of_a_seed_and_fold():
    snapshots = [snapshot("a"), snapshot("b", hours=1), snapshot("c", seed=1), snapshot("d", fold="alpha")]
    assert members(snapshots, "retraining") == {
        "demo/large seed 0": {"a": "a", "b": "b"},
        "demo/large seed 1": {"c": "c"},
        "demo/large seed 0 alpha": {"d": "d"},
    }


def test_of_a_night_the_last_training_counts():
    snapshots = [snapshot("a"), snapshot("b", hours=11), snapshot("c", hours=13)]
    assert members(snapshots, "night") == {"demo/large seed 0": {"2026-01-02": "b", "2026-01-03": "c"}}


def test_snapshots_of_other_features_or_by_another_method_are_not_compared():
    by_other = snapshot("b", seed=1)._replace(method="permutation")
    fewer = snapshot("c", seed=2, order=range(20), features=FEATURES[:20])
    assert len(grouped([snapshot("a"), by_other, fewer], "seed")) == 3
    assert agreements([snapshot("a"), by_other, fewer], "seed") == []


def test_features_that_stay_and_that_come_and_go_are_named():
    swapped = (1, 0, 2, *ORDER[4:10], 11, *(3, 10), *ORDER[12:])  # 3 goes from the top 10, 11 comes
    (found,) = agreements([snapshot("a"), snapshot("b", swapped, seed=1)], "seed")
    assert found.members == ("0", "1")
    assert found.stability.jaccard == pytest.approx(9 / 11)
    assert found.always == [FEATURES[number] for number in (0, 1, 2, *range(4, 10))]
    assert found.sometimes == [(FEATURES[3], 0.5), (FEATURES[11], 0.5)]


def test_a_top_of_all_features_is_refused():
    with pytest.raises(ConfigError, match="choose from 1 to 39"):
        agreements([snapshot("a"), snapshot("b", seed=1)], "seed", top=40)


def test_a_retraining_that_counts_on_the_same_features_agrees():
    slightly = (*ORDER[10:12], *ORDER[:10], *ORDER[12:])
    assert disagreement([snapshot("a"), snapshot("b", slightly, hours=1)], "demo", "large") is None


def test_one_that_counts_on_others_disagrees_and_says_how_much():
    past = [snapshot("a"), snapshot("b", seed=1, hours=1)]
    found = disagreement([*past, snapshot("c", ORDER[::-1], hours=2)], "demo", "large")
    assert (found.newest.origin.run_id, found.earlier, found.jaccard) == ("c", 2, 0)
    assert found.kendall == pytest.approx(-1)
    assert (found.least_jaccard, found.least_kendall) == (chance_jaccard(40, TOP_FEATURES, CHANCE), chance_kendall(40, CHANCE))
    assert "demo/large (c) counts on other features than the 2 before it" in found.sentence
    assert f"0.00, by chance below {found.least_jaccard:.2f}" in found.sentence


def test_either_measure_alone_is_enough():
    same_top_other_order = (*ORDER[:10], *ORDER[:9:-1])
    same_order_other_top = (*ORDER[10:20], *ORDER[:10], *ORDER[20:])
    for order, jaccard in ((same_top_other_order, 1), (same_order_other_top, 0)):
        found = disagreement([snapshot("a"), snapshot("b", order, hours=1)], "demo", "large")
        assert found.jaccard == jaccard
        assert (found.kendall < found.least_kendall) == (jaccard == 1)


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "set_01"},
        {"protocol": "official"},
        {"variant": "small_kd"},
        {"fold": "alpha"},
        {"features": FEATURES[::-1]},
    ],
)
def test_what_is_no_earlier_training_of_the_same_does_not_count(other):
    assert disagreement([snapshot("a", **other), snapshot("b", ORDER[::-1], hours=1)], "demo", "large") is None


def test_what_a_protocol_trained_is_no_newest_training_of_the_dataset():
    trained = [snapshot("a"), snapshot("b", hours=1), snapshot("c", ORDER[::-1], hours=2, protocol="official")]
    assert disagreement(trained, "demo", "large") is None


def test_one_training_agrees_with_itself_and_so_does_none():
    assert disagreement([snapshot("a")], "demo", "large") is None
    assert disagreement([], "demo", "large") is None


def test_few_features_are_not_judged():
    few = [snapshot(name, order, features=FEATURES[:10]) for name, order in (("a", ORDER[:10]), ("b", ORDER[9::-1]))]
    assert disagreement(few, "demo", "large") is None


def test_unrelated_trainings_are_said_to_disagree():
    generator = np.random.default_rng(0)
    found = [
        disagreement([snapshot("a", generator.permutation(40)), snapshot("b", hours=1)], "demo", "large") for _ in range(400)
    ]
    assert sum(item is None for item in found) / len(found) < CHANCE


def test_importances_that_are_all_the_same_agree_with_nothing():
    flat = snapshot("b", hours=1)
    flat = flat._replace(importances=tuple(ranked(FEATURES, np.zeros(40))))
    assert disagreement([snapshot("a"), flat], "demo", "large").kendall == 0

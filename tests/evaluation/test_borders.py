"""Drift, adaptation, ablation, episodes, protocols and the audit at their borders, by hand."""

from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest

from kdgat_models.can.frames import Frames
from kdgat_models.errors import ConfigError
from kdgat_models.evaluation.ablation.effects import ablation_rows, effect
from kdgat_models.evaluation.ablation.rows import Effect, LevelRow, Score, Spread
from kdgat_models.evaluation.adaptation import Source, from_capture, from_normal
from kdgat_models.evaluation.episodes import CaptureWindows, Events, capture_events, total
from kdgat_models.evaluation.nightly import drift as drifting
from kdgat_models.evaluation.nightly.drift import TrainedOn, drift
from kdgat_models.evaluation.protocols import audit as auditing
from kdgat_models.evaluation.protocols.audit import audit, fingerprint, shared
from kdgat_models.graphs.vocabulary import Vocabulary

# Adaptation

SOURCE = Source(threshold=10.0, upper=4.0)


@pytest.mark.parametrize(("count", "calibrates"), [(99, False), (100, True)])
def test_a_hundred_windows_are_enough_to_calibrate_on_and_fewer_are_not(count, calibrates):
    for made in (from_normal(SOURCE, np.full(count, 6.0), 3), from_capture(SOURCE, np.full(count + 1, 6.0), warm_up=count)):
        assert made.calibrated.any() == calibrates
        assert made.thresholds[-1] == (12.0 if calibrates else 10.0)  # 6 is two above the upper end of the training
        assert made.reason == ("" if calibrates else "99 windows are too few to calibrate on; it takes 100")


def test_the_upper_end_is_the_99th_percentile():
    normal = np.arange(201.0) / 25  # 0 to 8; the 99th percentile is 198 / 25
    assert from_normal(SOURCE, normal, 1).thresholds.tolist() == pytest.approx([10 + 198 / 25 - 4])
    assert Source.of(3.0, normal) == Source(3.0, pytest.approx(198 / 25))


def test_windows_at_the_threshold_are_no_part_of_the_bulk():
    scores = np.concatenate([np.full(90, 6.0), np.full(10, 10.0), np.full(10, 6.0)])
    made = from_capture(SOURCE, scores)
    assert made.thresholds[:100].tolist() == [10.0] * 100
    assert made.thresholds[100:].tolist() == [12.0] * 10
    assert made.calibrated.tolist() == [False] * 100 + [True] * 10


def test_a_longer_warm_up_is_waited_for_and_doubles_from_there():
    scores = np.concatenate([np.full(150, 5.0), np.full(150, 6.0), np.full(101, 7.0)])
    thresholds = from_capture(SOURCE, scores, warm_up=150).thresholds
    assert np.flatnonzero(np.diff(thresholds)).tolist() == [149, 299]
    assert thresholds[[0, 150, 300]].tolist() == [10.0, 11.0, 12.0]
    assert from_capture(SOURCE, scores[:150], warm_up=150).reason == "no window after the warm-up of 150"


def test_how_much_looks_attacked_is_said():
    scores = np.where(np.arange(100) < 21, 10.0, 0.0)
    for made in (from_normal(SOURCE, scores, 1), from_capture(SOURCE, scores)):
        assert made.reason == "the warm-up looks attacked: 21% of its windows are flagged"


# Drift


def store_of(columns, ids=(1, 2)):
    return SimpleNamespace(
        x=np.array(columns, np.float32).T,
        arbitration_id=np.array(ids, np.uint32),
        schema={"node_features": ["id_index", *"abc"[: len(columns)]]},
    )


def test_a_feature_that_never_varied_has_one_edge_and_a_bin_that_nothing_is_in():
    reference = TrainedOn.of(store_of([[5.0] * 10, np.arange(10)]))
    assert [edges.tolist() for edges in reference.edges] == [[5.0], pytest.approx([0.9 * n for n in range(1, 10)], rel=1e-5)]
    assert reference.shares[0].tolist() == [1e-4, 1.0]
    assert reference.features == ("a", "b")
    now = drift(reference, Vocabulary.of([1]), store_of([[4.0] * 10, np.arange(10)], [1, 1, 3, 2]))
    assert now["psi:a"] == pytest.approx(2 * (1 - 1e-4) * np.log(1e4), rel=1e-6)
    assert now["psi:b"] == pytest.approx(0, abs=1e-9)
    assert now["new_ids"] == 0.5
    assert list(now) == ["psi:a", "psi:b", "new_ids"]


@pytest.mark.parametrize(("most", "step"), [(10, 2), (25, 1), (24, 1), (12, 2), (1, 25)])
def test_of_a_large_store_every_nth_node_is_looked_at(monkeypatch, most, step):
    monkeypatch.setattr(drifting, "MOST_NODES", most)
    values = np.where(np.arange(25) % step == 0, 1.0, 1000.0)  # what is not looked at is far away
    reference = TrainedOn.of(store_of([values]))
    assert reference.edges[0].tolist() == [1.0]
    assert drift(reference, Vocabulary.of([1]), store_of([values]))["psi:a"] == 0


def test_a_sample_is_of_a_million_nodes():
    store = store_of([np.arange(2_000_001) % 2])
    assert TrainedOn.of(store).edges[0].tolist() == [0.0]  # every second node


# Ablation


def scores(values, metric="f1"):
    """Of folds a and b with seeds 0 and 1, in this order."""
    pairs = [(fold, seed) for fold in "ab" for seed in (0, 1)]
    fields = [{"f1": None, "roc_auc": None, metric: value} for value in values]
    return [Score(fold, seed, **field) for (fold, seed), field in zip(pairs, fields, strict=True)]


def test_pairs_that_lack_either_side_are_left_out_of_an_effect():
    base, level = scores([0.5, None, 0.5, 0.5]), scores([0.75, 0.9, None, 1.0])
    assert effect("f1", level, base) == Effect(0.375, pytest.approx(0.25), pytest.approx(0.5))  # of a0 and b1
    assert effect("f1", scores([None] * 4), base) == Effect(None, None, None)
    assert effect("roc_auc", level, base) == Effect(None, None, None)


def test_the_ends_of_an_interval_leave_out_a_fortieth_on_each_side():
    # One of four pairs gains 1: the mean of four draws is at least 0.75 in 5 % of cases, and 1 in 0.4 %.
    found = effect("f1", scores([1.0, 0.0, 0.0, 0.0]), scores([0.0] * 4))
    assert found == Effect(0.25, 0.0, 0.75)
    # Pairs that are all alike leave nothing to chance.
    assert effect("f1", scores([1.0] * 4), scores([0.0] * 4)) == Effect(1.0, 1.0, 1.0)


def test_a_row_says_which_level_is_the_base_and_both_metrics_of_each():
    runs = {("loss", "a"): scores([0.5, 0.75, 0.5, 0.75]), ("loss", "b"): scores([1.0] * 4)}
    base, level = ablation_rows({"loss": ["a", "b"]}, runs)
    f1 = Spread(0.625, pytest.approx(0.125 * np.sqrt(2)))
    assert base == LevelRow("loss", "a", base=True, f1=f1, roc_auc=Spread(None, None), effect=None)
    assert (level.level, level.base, level.f1) == ("b", False, Spread(1.0, 0.0))
    assert level.effect is not None
    assert level.effect.f1.value == 0.375
    assert level.effect.roc_auc == Effect(None, None, None)
    assert base.as_json() == {
        **{"factor": "loss", "level": "a", "base": True, "effect": None},
        **{"f1": f1._asdict(), "roc_auc": {"mean": None, "std": None}},
    }
    assert level.as_json()["effect"]["roc_auc"] == {"value": None, "low": None, "high": None}


# Episodes


def one_per_frame(flagged, timestamps, labels):
    return capture_events(timestamps, labels, CaptureWindows(np.arange(len(labels)), 1, flagged))


def test_alarms_with_a_second_between_them_are_two():
    flagged = np.isin(np.arange(20), [3, 11])
    normal = np.zeros(20, int)
    assert one_per_frame(flagged, np.arange(20) / 8, normal).false_alarms == 2
    assert one_per_frame(flagged, np.arange(20) / 8.5, normal).false_alarms == 1


@pytest.mark.parametrize(("gap", "count"), [(1999, 1), (2000, 2)])
def test_two_thousand_frames_stand_for_a_second_where_there_is_no_time(gap, count):
    frames = np.arange(3000)
    found = one_per_frame(np.isin(frames, [5, 5 + gap]), np.zeros(3000), np.zeros(3000, int))
    assert found.false_alarms == count
    assert (found.timed_false_alarms, found.normal_hours, found.times_to_detection_ms) == (0, 0.0, ())
    found = one_per_frame(np.zeros(3000, bool), np.zeros(3000), np.isin(frames, [5, 5 + gap]).astype(int))
    assert found.episodes == count


def test_all_that_is_counted_adds_up():
    one, two = Events(1, 2, 3, (4.0,), 5, 6, 7.0), Events(10, 20, 30, (40.0, 41.0), 50, 60, 70.0)
    assert total(iter([one, two])) == Events(11, 22, 33, (4.0, 40.0, 41.0), 55, 66, 77.0)
    assert two.metrics()._asdict() == {
        **{"episodes": 10, "episodes_detected": 20, "episodes_unobserved": 30, "episode_recall": 2.0, "false_alarms": 50},
        **{"time_to_detection_median_ms": 40.5, "time_to_detection_p95_ms": pytest.approx(40.95), "normal_hours": 70.0},
        "false_alarms_per_hour": 60 / 70,
    }


def test_verdicts_may_be_numbers():
    labels, times = np.isin(np.arange(40), [3, 21]).astype(int), np.arange(40) / 10
    flagged = np.isin(np.arange(40), [3, 30])
    assert one_per_frame(flagged.astype(np.uint8), times, labels) == one_per_frame(flagged, times, labels)


# Audit


def hashes(*values):
    return np.array(values, np.uint64)


def test_shares_decide_from_five_in_a_hundred_on_groups_and_from_one_on_what_is_said():
    base = np.arange(100, dtype=np.uint64)
    for count, joined, said in ((5, True, True), (4, False, True), (1, False, True), (0, False, False)):
        other = np.concatenate([base[:count], np.arange(1000, 1100 - count, dtype=np.uint64)])
        report = audit({"a": base, "b": other})
        assert [overlap.share for overlap in report.overlaps] == ([count / 100] if said else [])
        assert (report.groups["b"] == "a") == joined
    assert audit({"a": np.arange(101, dtype=np.uint64), "b": hashes(*[0, *range(1000, 1100)])}).overlaps == []  # 1 of 101


def test_a_threshold_of_one_joins_duplicates_and_beyond_it_there_is_none():
    a, b = hashes(1, 2, 3), hashes(1, 2, 4)
    assert audit({"a": a, "b": a, "c": b}, threshold=1.0).groups == {"a": "a", "b": "a", "c": "c"}
    assert audit({"a": a, "b": a, "c": b}, floor=1.0).overlaps == [("a", "b", 1.0)]
    for wrong in ({"threshold": 0.0}, {"threshold": 1.01}, {"floor": 0.0}):
        with pytest.raises(ConfigError, match=r"0\.05 and 0\.01 suit recordings"):
            audit({}, **wrong)


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        (hashes(1, 2, 3), hashes(2, 3, 4), 2 / 3),
        (hashes(2, 9), hashes(1, 2, 3), 1 / 2),
        (hashes(5), hashes(1, 2, 3), 0.0),
        (hashes(), hashes(1), 0.0),
        (hashes(1, 2, 3, 4), hashes(2, 4, 9), 1.0),  # a full one knows nothing of what is above 4
        (hashes(1, 2, 3, 4), hashes(2, 3, 5, 9), 1.0),
        (hashes(1, 2, 3, 4), hashes(3, 5, 6, 7), 1.0),
        (hashes(1, 2, 3, 8), hashes(5, 6, 8), 1 / 3),
        (hashes(1, 2, 3, 4), hashes(5, 6), 0.0),
    ],
)
def test_a_share_is_of_the_smaller_and_of_what_both_can_know(monkeypatch, first, second, share):
    monkeypatch.setattr(auditing, "HASHES_KEPT", 4)
    assert shared(first, second) == shared(second, first) == pytest.approx(share)


def counted(count, start=0):
    """Frames that differ by their payload only."""
    payload = (np.arange(count, dtype="<u8") + start).view(np.uint8).reshape(count, 8)
    return Frames(
        np.arange(float(count)), np.full(count, 7, np.uint32), np.full(count, 8, np.uint8), payload, np.zeros(count, int)
    )


def test_an_ngram_is_of_eight_frames_and_of_as_many_as_are_asked_for():
    assert len(fingerprint(counted(100))) == 93
    assert [len(fingerprint(counted(100), n)) for n in (1, 2, 100)] == [100, 99, 1]
    assert shared(fingerprint(counted(100)), fingerprint(counted(100, start=90))) == 3 / 93
    assert shared(fingerprint(counted(100)), fingerprint(counted(100, start=92))) == 1 / 93
    assert shared(fingerprint(counted(100)), fingerprint(counted(100, start=93))) == 0


def test_what_comes_twice_in_a_capture_is_no_part_of_its_fingerprint():
    twice = Frames(*(np.concatenate([column, column[:12]]) for column in counted(100)))
    assert len(fingerprint(twice)) == 93 - 5 + 7  # five runs come twice; seven go over the seam


def test_a_fingerprint_is_ascending_and_no_longer_than_32768():
    found = fingerprint(counted(40_000))
    assert len(found) == 32_768
    assert (np.diff(found.astype(object)) > 0).all()
    assert 0.7 < found[-1] / 2**64 / (32_768 / 39_993) < 1.3  # the lowest of numbers that are spread evenly


def test_bits_are_spread_as_published():
    """The first numbers of splitmix64 that is started with 0 (Steele et al. 2014; reference implementation of Vigna)."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([golden * n % 2**64 for n in (1, 2, 3)], np.uint64)
    assert [hex(value) for value in auditing._mixed(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_a_short_capture_is_its_frames_in_their_order():
    few = counted(3)
    back = Frames(*(column[::-1] for column in few))
    moved = few._replace(payload=few.payload[[0, 2, 1]])
    prints = [fingerprint(frames).tolist() for frames in (few, back, moved, counted(2))]
    assert len({tuple(found) for found in prints}) == 4
    assert all(len(found) == 1 for found in prints)
    assert fingerprint(copy(few)).tolist() == prints[0]

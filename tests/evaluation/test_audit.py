import numpy as np
import pytest

from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import ATTACKS, Traffic, arbitrate, drive, make_vehicle
from kdgat_models.errors import ConfigError
from kdgat_models.evaluation.protocols.audit import HASHES_KEPT, JOINED_SHARE, LISTED_SHARE, NGRAM_FRAMES, audit, fingerprint

ALPHA, BRAVO = make_vehicle("alpha", 0), make_vehicle("bravo", 1)


def traffic(seed: int, vehicle=ALPHA, seconds: float = 10) -> Traffic:
    return drive(vehicle, seconds, np.random.default_rng(seed))


def recorded(traffic: Traffic) -> Frames:
    bus = arbitrate(traffic)
    return Frames(bus.time, bus.arbitration_id.astype(np.uint32), bus.dlc.astype(np.uint8), bus.payload, bus.label)


def piece(frames: Frames, begin: int, end: int) -> Frames:
    return Frames(*(column[begin:end] for column in frames))


def joined(*parts: Frames) -> Frames:
    return Frames(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def audited(**captures: Frames):
    return audit({name: fingerprint(frames) for name, frames in captures.items()})


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_drive_and_the_same_with_an_attack_are_one_group(attack):
    base = traffic(1)
    attacked = ATTACKS[attack](base, ALPHA, 3, 6, np.random.default_rng(2))
    report = audited(base=recorded(base), attacked=recorded(attacked), other=recorded(traffic(3)))
    assert report.groups == {"attacked": "attacked", "base": "attacked", "other": "other"}
    assert [(overlap.first, overlap.second) for overlap in report.overlaps] == [("attacked", "base")]
    assert JOINED_SHARE < report.overlaps[0].share < 1


def test_two_attacks_on_one_drive_are_one_group_without_the_drive():
    attacks = (ATTACKS[name](traffic(1), ALPHA, 3, 6, np.random.default_rng(2)) for name in ("DoS", "malfunction"))
    flooded, babbling = (recorded(attacked) for attacked in attacks)
    assert set(audited(flooded=flooded, babbling=babbling).groups.values()) == {"babbling"}


def test_frames_inserted_all_over_a_drive_do_not_hide_it():
    base, rng = recorded(traffic(1)), np.random.default_rng(2)
    count = base.size // 5
    places = np.sort(rng.integers(0, base.size, count))
    inserted = (0, rng.integers(0, 0x800, count), 8, rng.integers(0, 256, (count, 8)), 1)
    edited = Frames(*(np.insert(column, places, new, axis=0) for column, new in zip(base, inserted, strict=True)))
    assert set(audited(base=base, edited=edited).groups.values()) == {"base"}


def test_drives_of_one_vehicle_and_of_two_share_nothing():
    report = audited(one=recorded(traffic(1)), two=recorded(traffic(2)), other=recorded(traffic(1, BRAVO)))
    assert report.overlaps == []
    assert report.groups == {"one": "one", "other": "other", "two": "two"}


def test_a_standstill_that_repeats_itself_joins_no_drives():
    standstill = joined(*[piece(recorded(traffic(9)), 0, 100)] * 200)
    one, two = (joined(standstill, recorded(traffic(seed)), standstill) for seed in (1, 2))
    report = audited(one=one, two=two)
    assert report.overlaps == []
    assert report.groups == {"one": "one", "two": "two"}


def test_captures_that_share_nothing_are_joined_through_others():
    one, two, link = (recorded(traffic(seed)) for seed in (1, 2, 3))
    report = audited(a=one, b=joined(one, link), c=two, d=joined(two, link), other=recorded(traffic(4)))
    assert [(overlap.first, overlap.second) for overlap in report.overlaps] == [("a", "b"), ("c", "d"), ("b", "d")]
    assert report.groups == {"a": "a", "b": "a", "c": "a", "d": "a", "other": "other"}


def test_an_exact_duplicate_has_a_share_of_one():
    capture = recorded(traffic(1))
    assert audited(a=capture, b=capture).overlaps == [("a", "b", 1.0)]


def test_neither_timestamps_nor_labels_matter():
    capture = recorded(traffic(1))
    moved = capture._replace(timestamp=1e9 + 2 * capture.timestamp, label=1 - capture.label)
    assert np.array_equal(fingerprint(capture), fingerprint(moved))


def test_the_order_of_frames_matters():
    capture = recorded(traffic(1))
    assert audited(forth=capture, back=Frames(*(column[::-1] for column in capture))).overlaps == []


@pytest.mark.parametrize("field", ["arbitration_id", "dlc", "payload"])
def test_what_is_in_a_frame_matters(field):
    capture = recorded(traffic(1))
    other = capture._replace(**{field: getattr(capture, field) ^ 1})
    assert audited(a=capture, b=other).overlaps == []


def test_a_long_capture_keeps_a_sample_in_which_a_piece_of_it_is_found():
    long = recorded(traffic(1, seconds=90))
    assert long.size > 1.5 * HASHES_KEPT
    assert len(fingerprint(long)) == HASHES_KEPT
    report = audited(long=long, piece=piece(long, 20_000, 24_000), other=recorded(traffic(2)))
    assert report.groups == {"long": "long", "other": "other", "piece": "long"}
    assert report.overlaps == [("long", "piece", pytest.approx(1, abs=0.01))]


def test_the_share_of_long_captures_is_estimated_from_their_samples():
    one, two = (recorded(traffic(seed, seconds=90)) for seed in (1, 2))
    half = one.size // 2
    (overlap,) = audited(one=one, both=joined(piece(one, 0, half), piece(two, 0, half))).overlaps
    assert overlap.share == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("size", [1, NGRAM_FRAMES - 1])
def test_captures_shorter_than_an_ngram_equal_their_duplicates_alone(size):
    long = recorded(traffic(1))
    report = audited(a=piece(long, 0, size), b=piece(long, 0, size), c=piece(long, 50, 50 + size), long=long)
    assert report.overlaps == [("a", "b", 1.0)]
    assert report.groups == {"a": "a", "b": "a", "c": "c", "long": "long"}


def test_captures_without_frames_share_nothing():
    capture = recorded(traffic(1))
    report = audited(empty=piece(capture, 0, 0), nothing=piece(capture, 0, 0), capture=capture)
    assert report.overlaps == []
    assert report.groups == {"capture": "capture", "empty": "empty", "nothing": "nothing"}
    assert audit({}) == ([], {})


def test_a_capture_of_nothing_but_repetition_equals_its_duplicate_alone():
    cycle = piece(recorded(traffic(1)), 0, 40)
    report = audited(a=joined(*[cycle] * 9), b=joined(*[cycle] * 9), c=joined(*[cycle] * 10))
    assert report.overlaps == [("a", "b", 1.0)]


def test_the_order_of_captures_changes_nothing():
    prints = {name: fingerprint(recorded(traffic(seed))) for name, seed in (("b", 1), ("a", 1), ("c", 2))}
    assert audit(prints) == audit(dict(sorted(prints.items())))


def test_the_threshold_decides_on_groups_and_the_floor_on_what_is_reported():
    one, two = recorded(traffic(1)), recorded(traffic(2))
    prints = {"a": fingerprint(one), "b": fingerprint(joined(piece(one, 0, one.size // 2), two))}
    assert audit(prints, threshold=0.9).groups == {"a": "a", "b": "b"}
    assert audit(prints, floor=0.9) == ([], {"a": "a", "b": "a"})


def test_settings_that_make_no_sense_are_refused_with_those_that_do():
    with pytest.raises(ConfigError, match=f"at least 1, and {NGRAM_FRAMES}"):
        fingerprint(recorded(traffic(1)), n=0)
    for threshold, floor in ((0, LISTED_SHARE), (1.1, LISTED_SHARE), (JOINED_SHARE, 0)):
        with pytest.raises(ConfigError, match="set threshold above 0"):
            audit({}, threshold, floor)

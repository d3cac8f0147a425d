"""Synthetic attacks are drawn from the whole of the ranges that they state, and from nothing beyond."""

import numpy as np
import pytest
from test_injected_attacks import BEGIN, END, OFTEN, recording

from kdgat_models.can import injection
from kdgat_models.can.frames import Frames
from kdgat_models.can.injection import FAMILIES, Segment, inject

SEEDS = range(300)


@pytest.fixture(scope="module")
def capture():
    return injection._indexed(recording())


def attack(capture, family, seed, segment=None):
    return FAMILIES[family](capture, segment or Segment(BEGIN, END, OFTEN), np.random.default_rng([3, seed]))


# Frames a second, drawn log-uniformly.
RATES = {"single": (0.5, 20), "flood": (100, 2000), "fuzzing": (10, 1000), "new_id": (20, 2000)}


@pytest.mark.parametrize("family", RATES)
def test_rates_are_drawn_log_uniformly_between_the_stated_ones(capture, family):
    low, high = RATES[family]
    counts = np.array([attack(capture, family, seed).sent.size for seed in SEEDS])
    rates = counts / (END - BEGIN)
    assert 0.98 * low <= rates.min() < 1.15 * low
    assert 0.87 * high < rates.max() <= 1.01 * high
    assert np.median(rates) == pytest.approx(np.sqrt(low * high), rel=0.3)


def test_a_spoofed_frame_follows_after_a_fifth_of_a_millisecond_to_four(capture):
    rows = capture.rows(OFTEN, BEGIN, END)
    delay = np.array([attack(capture, "spoof", seed).sent.timestamp[0] for seed in SEEDS]) - capture.clock[rows[0]]
    assert 0.0002 - 1e-9 <= delay.min() < 0.00021
    assert 0.0038 < delay.max() <= 0.004 + 1e-9
    assert np.median(delay) == pytest.approx(np.sqrt(0.0002 * 0.004), rel=0.3)


def test_a_flood_keeps_its_rhythm_to_a_twentieth(capture):
    def unsteady(time: np.ndarray) -> float:
        return float(np.std(time - np.linspace(time[0], time[-1], len(time))) / np.diff(time).mean())

    assert np.mean([unsteady(attack(capture, "flood", seed).sent.timestamp) for seed in range(30)]) == pytest.approx(
        0.05, rel=0.15
    )


def test_half_of_the_fuzzing_is_under_ids_of_the_vehicle_and_the_rest_under_any(capture):
    known = [bool(np.isin(attack(capture, "fuzzing", seed).sent.arbitration_id, capture.ids).all()) for seed in SEEDS]
    assert np.mean(known) == pytest.approx(0.5, abs=0.08)
    sent = [attack(capture, "fuzzing", seed).sent for seed, one in zip(SEEDS, known, strict=True) if not one]
    ids = np.concatenate([frames.arbitration_id for frames in sent])
    assert (ids.min(), ids.max()) == (0, 0x7FF)
    payload = np.concatenate([frames.payload for frames in sent])
    assert (payload.min(), payload.max()) == (0, 255)


def test_a_new_id_may_be_any_that_is_free(capture):
    crowded = capture._replace(ids=np.setdiff1d(np.arange(0x800), [0, 0x155, 0x7FF]))
    ids = {int(attack(crowded, "new_id", seed).sent.arbitration_id[0]) for seed in range(40)}
    assert ids == {0, 0x155, 0x7FF}


def senders(count: int, seconds: int = 60) -> Frames:
    """IDs 1, 2, ... that take turns, each 10 times a second; each payload is the number of its frame."""
    size = 10 * seconds * count
    payload = np.arange(size, dtype=">u8").view(np.uint8).reshape(size, 8)
    ids = (np.arange(size) % count + 1).astype(np.uint32)
    return Frames(np.arange(size) / (10 * count), ids, np.full(size, 8, np.uint8), payload, np.zeros(size, np.uint8))


def numbers(payload: np.ndarray) -> np.ndarray:
    return payload.copy().view(">u8").ravel().astype(int)


@pytest.mark.parametrize(("begin", "most"), [(30.0, 10.0), (4.0, 4.0)])
def test_replay_goes_back_half_a_second_to_ten_and_no_further_than_the_capture(begin, most):
    frames = senders(5)
    recorded = injection._indexed(frames)
    shifts, targets = [], set()
    for seed in SEEDS:
        sent = attack(recorded, "replay", seed, Segment(begin, begin + 2, 1)).sent
        source = numbers(sent.payload)
        shift = sent.timestamp - frames.timestamp[source]
        assert np.ptp(shift) < 1e-9
        np.testing.assert_array_equal(sent.arbitration_id, frames.arbitration_id[source])
        assert len(set(sent.arbitration_id.tolist())) == 3
        assert begin <= sent.timestamp[0] <= sent.timestamp[-1] < begin + 2
        targets.update(sent.arbitration_id.tolist())
        shifts.append(shift[0])
    assert targets == {1, 2, 3, 4, 5}
    assert 0.5 <= min(shifts) < 0.5 + 0.02 * most
    assert 0.98 * most < max(shifts) <= most


def test_the_last_fifty_payloads_are_the_recent_ones(monkeypatch):
    drawn = []
    monkeypatch.setattr(injection, "FORGERIES", (lambda sent, recent, dlc, count, rng: drawn.append(recent) or sent[:1],))
    recorded = injection._indexed(senders(1))
    for seed in range(500):
        attack(recorded, "masquerade", seed, Segment(30.0, 30.1, 1))
    assert set(numbers(np.array(drawn)).tolist()) == set(range(250, 300))


def frequent(count: int, asleep: float = 0.0) -> list[int]:
    """Frequent IDs of a bus that is awake for 20 s, on which ID 2 comes `count` times; then it sleeps."""
    steady = np.arange(2561) / 128
    time = np.concatenate([steady, np.linspace(0, 2560, count).round() / 128])
    ids = np.repeat([1, 2], [len(steady), count]).astype(np.uint32)
    order = np.argsort(time, kind="stable")
    time = time[order] + np.where(np.arange(len(time)) == len(time) - 1, asleep, 0)
    columns = np.full(len(time), 8, np.uint8), np.zeros((len(time), 8), np.uint8), np.zeros(len(time), np.uint8)
    return injection._indexed(Frames(time, ids[order], *columns)).frequent.tolist()


def test_an_id_is_frequent_if_it_comes_more_than_five_times_a_second_while_the_bus_is_awake():
    assert frequent(100) == [1]
    assert frequent(101) == [1, 2]
    assert frequent(105, asleep=1e6) == [1]  # a pause counts as one second at most
    assert frequent(106, asleep=1e6) == [1, 2]
    assert frequent(102, asleep=0.5) == [1]
    assert frequent(103, asleep=0.5) == [1, 2]


def segments_of(time: np.ndarray, seeds=range(300)) -> list[list[Segment]]:
    size = len(time)
    columns = np.ones(size, np.uint32), np.full(size, 8, np.uint8), np.zeros((size, 8), np.uint8), np.zeros(size, np.uint8)
    recorded = injection._indexed(Frames(time, *columns))
    return [list(injection._segments(recorded, np.random.default_rng(seed))) for seed in seeds]


def test_an_attack_begins_a_second_before_the_end_at_the_latest_and_ends_with_the_capture():
    drawn = [found[-1] for found in segments_of(np.arange(0, 20.0001, 0.01))]
    begins = [segment.begin for segment in drawn]
    assert 18.8 < max(begins) < 19
    assert max(segment.end for segment in drawn) == pytest.approx(20, abs=0.011)


@pytest.mark.parametrize(("pause", "first"), [(0.99, 10.0), (2.0, 11.0), (5.0, 14.0)])
def test_no_attack_begins_when_the_bus_sleeps_for_another_second(pause, first):
    time = np.concatenate([np.arange(1000) / 100, 10 + pause + np.arange(2000) / 100])
    begins = np.array([segment.begin for found in segments_of(time) for segment in found])
    inside = begins[(begins > 9.99) & (begins < 10 + pause)]
    assert first - 1e-9 <= inside.min() < first + 0.1


def test_after_a_sleep_there_is_clean_traffic_for_one_to_eight_seconds():
    time = np.concatenate([np.arange(0, 0.5, 0.01), np.arange(1000, 1030, 0.01)])
    first = np.array([found[0].begin for found in segments_of(time)]) - 1000
    assert 1 <= first.min() < 1.1
    assert 7.9 < first.max() <= 8


def test_each_family_is_drawn_as_often_as_another():
    frames = recording()
    kinds = []
    for seed in range(12):
        attacked = inject(frames, np.random.default_rng(seed), ["new_id", "suppress"])
        kinds += [attacked.size > frames.size, bool(np.isin(frames.timestamp, attacked.timestamp, invert=True).any())]
    assert np.mean(kinds) > 0.8  # of about seven attacks, there are both

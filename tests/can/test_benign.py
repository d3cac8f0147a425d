import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat_models.can.benign import EVENT_GAP_S, vary
from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import arbitrate, drive, make_vehicle


def recorded(seed: int, seconds: float = 20) -> Frames:
    bus = arbitrate(drive(make_vehicle("any", seed), seconds, np.random.default_rng(seed)))
    ids, dlc = bus.arbitration_id.astype(np.uint32), bus.dlc.astype(np.uint8)
    return Frames(bus.time + 1.7e9, ids, dlc, bus.payload, bus.label)


def ragged(seed: int) -> Frames:
    """IDs that change their DLC, at times that may be equal."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 400))
    dlc = rng.integers(0, 9, count).astype(np.uint8)
    payload = np.where(np.arange(8) < dlc[:, None], rng.integers(1, 256, (count, 8)), 0).astype(np.uint8)
    time = np.cumsum(rng.choice([0.0, 0.1, 0.5], count))
    return Frames(time, rng.integers(0, 4, count).astype(np.uint32), dlc, payload, np.zeros(count, np.uint8))


def of_id(frames: Frames, identifier: int) -> Frames:
    return Frames(*(column[frames.arbitration_id == identifier] for column in frames))


def same(first: Frames, second: Frames) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True))


captures = st.builds(lambda make, seed: make(seed), st.sampled_from([recorded, ragged]), st.integers(0, 10**6))


@settings(max_examples=40, deadline=None)
@given(captures, st.integers(0, 10**6))
def test_every_id_sends_the_same_frames_in_the_same_order_and_none_later(frames, seed):
    varied = vary(frames, np.random.default_rng(seed))
    assert varied.size == frames.size
    assert np.all(np.diff(varied.timestamp) >= 0)
    assert not np.any(varied.payload[np.arange(8) >= varied.dlc[:, None]])
    for identifier in np.unique(frames.arbitration_id):
        before, after = of_id(frames, identifier), of_id(varied, identifier)
        np.testing.assert_array_equal(after.dlc, before.dlc)
        np.testing.assert_array_equal(after.label, before.label)
        assert np.all(after.timestamp <= before.timestamp + 1e-6)
        assert after.timestamp[0] == pytest.approx(before.timestamp[0], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_units_report_changes_at_once_and_stay_with_them(seed):
    frames = recorded(seed)
    varied = vary(frames, np.random.default_rng(seed))
    moved = changed = 0
    for identifier in np.unique(frames.arbitration_id):
        before, after = of_id(frames, identifier), of_id(varied, identifier)
        earlier, mask = before.timestamp - after.timestamp, before.payload ^ after.payload
        events = np.flatnonzero((np.abs(np.diff(earlier)) > 1e-6) | np.diff(mask, axis=0).any(axis=1))
        assert np.all(np.diff(earlier) > -1e-6)  # an event is never taken back
        moved += np.count_nonzero(np.diff(earlier) > 1e-6)
        changed += np.count_nonzero(np.diff(mask, axis=0).any(axis=1))
        assert len(events) <= 20 / EVENT_GAP_S[0]
    assert moved
    assert changed
    assert moved + changed <= 2 * 20 / EVENT_GAP_S[0]


PERIOD = 0.125  # s, exact


def one_sender(seconds: float, dlc: int = 8) -> Frames:
    """One ID at a steady period, whose payload never changes."""
    count = int(seconds / PERIOD)
    payload = np.tile(np.where(np.arange(8) < dlc, 0xA5, 0).astype(np.uint8), (count, 1))
    ids, label = np.full(count, 7, np.uint32), np.zeros(count, np.uint8)
    return Frames(np.arange(count) * PERIOD, ids, np.full(count, dlc, np.uint8), payload, label)


def events_of(frames: Frames, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of each event, by which share of the period its frame is early, and how the payload differs from then on [n, 8]."""
    varied = vary(frames, np.random.default_rng(seed))
    early = -np.diff(varied.timestamp - frames.timestamp) / PERIOD
    changed = varied.payload[1:] ^ varied.payload[:-1]
    rows = np.flatnonzero((early > 1e-6) | changed.any(axis=1))
    return rows + 1, early[rows], changed[rows]


def test_events_come_as_often_as_stated_and_move_and_change_as_many_frames():
    """About 2200 events: shares are known to a hundredth."""
    rows, early, changed = events_of(one_sender(10_000), 0)
    moves, changes = early > 1e-6, changed.any(axis=1)
    # One event in 25 does neither and is not seen, nor is a mask without bits.
    assert len(rows) == pytest.approx(10_000 / 4.5 * 0.96, rel=0.05)
    assert moves.mean() == pytest.approx(0.8 / 0.96, abs=0.03)
    assert changes[moves].mean() == pytest.approx(0.8, abs=0.06)
    assert 0.1 - 1e-6 <= early[moves].min() < 0.11
    assert 0.89 < early[moves].max() <= 0.9 + 1e-6
    assert early[moves].mean() == pytest.approx(0.5, abs=0.02)
    gaps = np.diff(rows) * PERIOD
    assert gaps.min() >= 1.0 - PERIOD
    assert np.quantile(gaps, 0.9) < 8.0 + PERIOD


def test_an_event_changes_one_to_three_bytes_anywhere_and_a_quarter_of_their_bits():
    _, _, changed = events_of(one_sender(10_000), 1)
    changed = changed[changed.any(axis=1)]
    count = (changed > 0).sum(axis=1)
    assert set(count.tolist()) == {1, 2, 3}
    assert np.bincount(count)[1:] / len(count) == pytest.approx([1 / 3] * 3, abs=0.08)
    assert (changed > 0).sum(axis=0) / (changed > 0).sum() == pytest.approx([1 / 8] * 8, abs=0.03)
    bits = np.unpackbits(changed[changed > 0][:, None], axis=1)
    assert bits.mean(axis=0) == pytest.approx([0.26] * 8, abs=0.04)  # a little more, since bytes without any are not seen


@pytest.mark.parametrize("dlc", [0, 1, 2])
def test_only_bytes_that_are_sent_change(dlc):
    _, early, changed = events_of(one_sender(1000, dlc), 2)
    assert not changed[:, dlc:].any()
    assert changed.any() == bool(dlc)
    assert np.count_nonzero(early > 1e-6) > 100


def test_the_first_event_comes_after_one_to_eight_seconds():
    first = [events_of(one_sender(12), seed)[0] for seed in range(600)]
    begins = np.array([rows[0] for rows in first if len(rows)]) * PERIOD
    assert 1.0 <= begins.min() < 1.2
    assert begins.mean() == pytest.approx(4.75, abs=0.4)  # one in 25 is not seen, so that the second is


@pytest.mark.parametrize(("frames", "varies"), [(20, False), (21, True)])
def test_an_id_needs_more_than_twenty_frames_to_report_changes(frames, varies):
    seldom = Frames(*(column[:frames] for column in one_sender(10)))._replace(timestamp=np.arange(frames) * 1.0)
    assert any(not same(vary(seldom, np.random.default_rng(seed)), seldom) for seed in range(5)) == varies


def test_an_id_that_is_first_heard_late_is_left_alone_until_then():
    frames, late = one_sender(60), one_sender(8)
    late = late._replace(timestamp=late.timestamp + 50, arbitration_id=late.arbitration_id + np.uint32(1))
    both = Frames(*(np.concatenate(columns) for columns in zip(frames, late, strict=True)))
    order = np.argsort(both.timestamp, kind="stable")
    both = Frames(*(column[order] for column in both))
    for seed in range(20):
        after = of_id(vary(both, np.random.default_rng(seed)), 8)
        assert after.timestamp[0] == 50
        np.testing.assert_array_equal(after.payload[0], late.payload[0])


def test_an_early_frame_stays_behind_the_one_before_it():
    frames = recorded(0)
    for identifier in np.unique(frames.arbitration_id):
        gaps = np.diff(of_id(vary(frames, np.random.default_rng(1)), identifier).timestamp)
        assert gaps.min(initial=1) > 0


def test_the_same_seed_gives_the_same_copy_and_another_seed_another():
    frames = recorded(0)
    first, second, other = (vary(frames, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert same(first, second)
    assert not same(first, other)
    assert not same(first, frames)


def test_the_original_is_not_touched():
    frames = recorded(0)
    for column in frames:
        column.setflags(write=False)
    before = Frames(*(column.copy() for column in frames))
    vary(frames, np.random.default_rng(0))
    assert same(frames, before)


@pytest.mark.parametrize("time", [5.0, np.nan])
def test_a_capture_without_a_clock_comes_back_as_it_is(time):
    frames = recorded(0, 2)
    timeless = frames._replace(timestamp=np.full(frames.size, time))
    assert vary(timeless, np.random.default_rng(0)) is timeless


@pytest.mark.parametrize("frames", [0, 1, 2, 20])
def test_a_capture_that_is_too_short_for_an_event_keeps_its_frames(frames):
    short = Frames(*(column[:frames] for column in recorded(0, 2)))
    varied = vary(short, np.random.default_rng(0))
    assert same(varied._replace(timestamp=short.timestamp), short)
    np.testing.assert_allclose(varied.timestamp, short.timestamp, atol=1e-6)

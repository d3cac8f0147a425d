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

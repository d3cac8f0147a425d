import numpy as np
import pytest

from kdgat_models.can.benign import vary
from kdgat_models.can.clock import FRAMES_PER_SECOND, MAX_TIMESTAMP, frame_clock, tells_time
from kdgat_models.can.frames import Frames
from kdgat_models.can.injection import inject
from kdgat_models.evaluation.baselines import warm_up_rule
from kdgat_models.evaluation.episodes import CaptureWindows, capture_events
from kdgat_models.graphs.build import _roles_at
from kdgat_models.graphs.relative import compute
from kdgat_models.graphs.topology import build_topology

TELLING = ([5.0, 6.0], [6.0, 5.0], [0.0, 0.0, 1e-6], [5.0, 6.0, 5.0])  # the last begins and ends at the same time
SILENT = ([], [5.0], [5.0, 5.0], [5.0, np.nan, 6.0], [5.0, np.inf], [np.nan, np.nan])


@pytest.mark.parametrize("time", TELLING, ids=str)
def test_timestamps_that_are_finite_and_differ_tell_time(time):
    assert tells_time(np.array(time))


@pytest.mark.parametrize("time", SILENT, ids=str)
def test_timestamps_that_are_all_equal_or_not_finite_tell_none(time):
    assert not tells_time(np.array(time))


def test_the_clock_of_frames_levels_steps_back_and_counts_frames_where_there_is_no_time():
    clock, real = frame_clock(np.array([1.0, 3.0, 2.5, 4.0]))
    assert (clock.tolist(), real) == ([1.0, 3.0, 3.0, 4.0], True)
    clock, real = frame_clock(np.full(3, 7.0))
    assert (clock.tolist(), real) == ([0.0, 1 / FRAMES_PER_SECOND, 2 / FRAMES_PER_SECOND], False)
    assert frame_clock(np.full(3, 7.0), 4.0)[0].tolist() == [0.0, 0.25, 0.5]
    assert frame_clock(np.full(4001, 7.0))[0][[2000, 4000]].tolist() == [1.0, 2.0]  # as documented


def test_the_highest_timestamp_is_the_begin_of_the_year_2200():
    assert np.datetime64("2200-01-01T00:00:00").astype("datetime64[s]").astype(int) == MAX_TIMESTAMP


def returning(count: int = 24_000) -> Frames:
    """12 s of one ID that are recorded with a last frame stamped like the first: the old rules did not agree on its clock."""
    time = np.arange(count) / 2000
    time[-1] = 0.0
    payload = np.tile(np.arange(8, dtype=np.uint8), (count, 1))
    return Frames(time, np.full(count, 7, np.uint32), np.full(count, 8, np.uint8), payload, np.zeros(count, np.uint8))


def test_all_that_ask_whether_a_capture_tells_time_agree():
    frames = returning()
    assert tells_time(frames.timestamp)
    topology = build_topology(frames, np.array([0, 100]), 100)
    assert compute(frames, topology)[1].timed
    assert vary(frames, np.random.default_rng(0)) is not frames
    attacked = inject(frames, np.random.default_rng(1), ["flood"])
    assert attacked.label.any()
    assert len(np.unique(attacked.timestamp)) > 1
    windows = CaptureWindows(np.array([0, 100]), 100, np.array([True, True]))
    assert capture_events(frames.timestamp, frames.label, windows).timed_false_alarms == 1
    hurried = frames._replace(timestamp=np.where(np.arange(frames.size) == 23_000, frames.timestamp - 4e-4, frames.timestamp))
    assert warm_up_rule(hurried, np.array([22_950]), 100) == 1
    starts = np.array([0, 12_000])
    role = _roles_at(frames, starts, np.array([1, 2], np.uint8), attacked, np.array([0, attacked.size - 200]), 100)
    assert role.tolist() == [1, 2]

"""Events: one frame every 100 ms and windows of 5 frames, unless a test says otherwise. Windows end 0.4 s after they begin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat_models.errors import SchemaError
from kdgat_models.evaluation.episodes import CaptureWindows, EpisodeRules, Events, capture_events, total


def events(frames, attack=(), flagged=(), *, stride=5, size=5, timestamps=None, rules=None):
    """Events of a capture of `frames` frames with the given attack frames and flagged windows."""
    labels = np.zeros(frames, np.uint8)
    labels[list(attack)] = 1
    starts = np.arange(0, frames - size + 1, stride)
    windows = CaptureWindows(starts, size, np.isin(np.arange(len(starts)), list(flagged)))
    times = np.arange(frames) / 10 if timestamps is None else timestamps
    return capture_events(times, labels, windows, *([rules] if rules else []))


def test_an_episode_is_found_when_the_first_flagged_window_with_an_attack_frame_ends():
    # Frames 12 and 13 and, 0.9 s later, 22: one episode from 1.2 s on. Window 4 (20 to 24) says so at 2.4 s.
    found = events(50, attack=[12, 13, 22], flagged=[4, 9])
    assert (found.episodes, found.detected) == (1, 1)
    assert found.times_to_detection_ms == pytest.approx([1200])


def test_attack_frames_a_second_apart_are_of_two_episodes():
    times = np.arange(64) / 8  # exact in binary
    assert events(64, attack=[10, 17], timestamps=times).episodes == 1
    assert events(64, attack=[10, 18], timestamps=times).episodes == 2
    assert events(64, attack=[10, 18], timestamps=times, rules=EpisodeRules(max_gap_s=1.01)).episodes == 1


def test_a_flagged_window_without_an_attack_frame_detects_nothing_even_amid_an_episode():
    found = events(50, attack=[2, 11], flagged=[1])
    assert (found.episodes, found.detected, found.false_alarms) == (1, 0, 1)
    assert found.metrics().time_to_detection_median_ms is None
    assert found.metrics().episode_recall == 0


def test_one_window_can_detect_two_episodes():
    found = events(40, attack=[2, 17], flagged=[0], size=20, stride=20)
    assert (found.episodes, found.detected) == (2, 2)
    assert found.times_to_detection_ms == pytest.approx([1700, 200])


def test_median_and_p95_are_over_the_detected_episodes():
    # Onsets 0.0, 2.0, 4.0 and 6.4 s; the third is missed; verdicts at the ends of windows 0, 5 and 12.
    found = events(70, attack=[0, 20, 25, 40, 64], flagged=[0, 5, 12])
    assert found.times_to_detection_ms == pytest.approx([400, 900, 0])
    metrics = found.metrics()
    assert metrics.episode_recall == 0.75
    assert metrics.time_to_detection_median_ms == pytest.approx(400)
    assert metrics.time_to_detection_p95_ms == pytest.approx(400 + 0.9 * 500)


def test_adjacent_false_alarms_are_one_and_so_are_those_with_little_quiet_between():
    assert events(100, flagged=[2, 3, 4]).false_alarms == 1
    assert events(100, flagged=[2, 4]).false_alarms == 1  # 0.6 s from frame 14 to frame 20
    assert events(100, flagged=[2, 5]).false_alarms == 2  # 1.1 s
    assert events(100, flagged=[2, 3, 5, 9, 10]).false_alarms == 2
    assert events(100, flagged=[2, 4], rules=EpisodeRules(quiet_s=0.5)).false_alarms == 2


def test_adjacent_false_alarms_are_one_on_a_bus_however_slow():
    assert events(100, flagged=[2, 3], timestamps=np.arange(100) * 60.0).false_alarms == 1


def test_false_alarms_per_hour_are_of_the_time_that_normal_windows_cover():
    # Windows 0, 1 and 3 to 9 are normal: frames 0 to 9 and 15 to 49.
    metrics = events(50, attack=[12], flagged=[0, 5]).metrics()
    assert metrics.normal_hours == pytest.approx((0.9 + 3.4) / 3600)
    assert metrics.false_alarms_per_hour == pytest.approx(2 * 3600 / 4.3)


def test_where_windows_overlap_no_time_counts_twice():
    # Windows begin at frames 0, 2, ... 20; those from 6 to 10 hold frame 10. Normal: frames 0 to 8 and 12 to 24.
    found = events(25, attack=[10], flagged=[4, 8, 9], stride=2)
    assert found.normal_hours == pytest.approx((0.8 + 1.2) / 3600)
    assert found.times_to_detection_ms == pytest.approx([200])  # the window from 8 to 12
    assert found.false_alarms == 1


def test_a_capture_without_attack_has_false_alarms_and_nothing_to_detect():
    metrics = events(50, flagged=[1]).metrics()
    assert metrics.episodes == 0
    assert metrics.episode_recall is None
    assert metrics.time_to_detection_p95_ms is None
    assert metrics.false_alarms_per_hour == pytest.approx(3600 / 4.9)


def test_a_capture_without_normal_windows_has_no_rate_of_false_alarms():
    metrics = events(50, attack=range(50), flagged=range(10)).metrics()
    assert metrics.false_alarms == 0
    assert metrics.false_alarms_per_hour is None
    assert metrics.time_to_detection_median_ms == pytest.approx(400)


@pytest.mark.parametrize("tenth", [7.0, np.nan, np.inf])
def test_without_usable_timestamps_gaps_are_counted_in_frames(tenth):
    # Ten frames stand for a second.
    timestamps = np.full(50, 7.0)
    timestamps[9] = tenth
    found = events(50, [12, 21, 31], [2, 7, 9], timestamps=timestamps, rules=EpisodeRules(frames_per_second=10))
    assert (found.episodes, found.detected, found.false_alarms) == (2, 1, 1)
    metrics = found.metrics()
    assert metrics.time_to_detection_median_ms is None
    assert metrics.false_alarms_per_hour is None


def test_steps_back_inside_a_burst_neither_end_an_episode_nor_the_clock():
    times = np.arange(50) / 10
    times[14] = times[13] - 3e-4
    found = events(50, attack=[13, 14], flagged=[2], timestamps=times)
    assert found.episodes == 1
    assert found.times_to_detection_ms == (0.0,)


def test_an_episode_that_no_window_covers_is_not_missed_but_unobserved():
    found = events(53, attack=[2, 51], flagged=[0])
    assert (found.episodes, found.detected, found.unobserved) == (1, 1, 1)


def test_the_order_of_windows_does_not_matter():
    starts, flagged = np.arange(0, 50, 5), np.isin(np.arange(10), [2, 3, 6])
    times, labels = np.arange(50) / 10, np.isin(np.arange(50), [17, 40]).astype(int)
    shuffled = np.random.default_rng(0).permutation(10)
    given_in_order = capture_events(times, labels, CaptureWindows(starts, 5, flagged))
    assert capture_events(times, labels, CaptureWindows(starts[shuffled], 5, flagged[shuffled])) == given_in_order


def test_captures_pool_as_sums_not_as_means_of_means():
    short, long = events(50, attack=[12], flagged=[2, 5]), events(1000, attack=[2, 102, 302], flagged=[0])
    metrics = total([short, long]).metrics()
    assert metrics.episode_recall == 2 / 4
    assert metrics.time_to_detection_median_ms == pytest.approx(200)
    assert metrics.false_alarms_per_hour == pytest.approx(1 / (short.normal_hours + long.normal_hours))


def test_false_alarms_without_hours_count_but_raise_no_rate():
    timed, untimed = events(50, flagged=[1]), events(50, flagged=[1], timestamps=np.zeros(50))
    metrics = total([timed, untimed]).metrics()
    assert metrics.false_alarms == 2
    assert metrics.false_alarms_per_hour == timed.metrics().false_alarms_per_hour


def test_nothing_pools_to_nothing():
    assert total([]) == events(0) == Events(0, 0, 0, (), 0, 0, 0.0)


@pytest.mark.parametrize(
    ("starts", "verdicts", "times", "message"),
    [
        ([0, 46], 2, 50, "frames 0 to 46 of a capture of 50 frames; give the first frames"),
        ([-1, 5], 2, 50, "begin at frames -1 to 5"),
        ([0, 5], 3, 50, "give one verdict per window"),
        ([0, 5], 2, 49, "one of each per frame"),
    ],
)
def test_arrays_of_different_captures_are_refused(starts, verdicts, times, message):
    windows = CaptureWindows(np.array(starts), 5, np.ones(verdicts, bool))
    with pytest.raises(SchemaError, match=message):
        capture_events(np.arange(times, dtype=float), np.zeros(50, int), windows)


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)), st.integers(1, 12))
def test_episodes_and_times_are_those_of_a_search_frame_by_frame(attack, flagged, stride):
    times = np.arange(100) / 4  # episodes end where 4 frames are normal
    starts = range(0, 96, stride)
    onsets = [frame for frame in sorted(attack) if not attack & set(range(frame - 3, frame))]
    expected, observed = [], 0
    for onset, following in zip(onsets, [*onsets, 100][1:], strict=True):
        frames = {frame for frame in attack if onset <= frame < following}
        ends = [(start + 4, number) for number, start in enumerate(starts) if frames & set(range(start, start + 5))]
        observed += bool(ends)
        expected += [(end - onset) * 250.0 for end, number in ends if number in flagged][:1]
    found = events(100, attack, flagged, stride=stride, timestamps=times)
    assert found.times_to_detection_ms == tuple(expected)
    assert (found.episodes, found.unobserved) == (observed, len(onsets) - observed)

"""What a driver would notice of a detector: attacks found, how soon, and how often it cries wolf.

An attack episode is a maximal run of attack frames that follow each other within `EpisodeRules.max_gap_s`, whatever normal
frames lie between them. A false alarm is a run of flagged windows without any attack frame.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.clock import FRAMES_PER_SECOND, frame_clock
from kdgat_models.errors import SchemaError


class EpisodeRules(NamedTuple):
    """What belongs together."""

    max_gap_s: float = 1.0  # attack frames as far apart as this, or farther, are of two episodes
    quiet_s: float = 1.0  # false alarms with as much time between them, or more, are two
    frames_per_second: float = FRAMES_PER_SECOND  # stands in for time where there is none


class CaptureWindows(NamedTuple):
    """The G windows of one capture, in any order, and what a detector said of each."""

    first_frame: NDArray[np.integer[Any]]  # [G], within the capture
    size: int  # frames in a window
    flagged: NDArray[np.bool_]  # [G]


class EventMetrics(NamedTuple):
    """What a driver would notice, as figures; counts are whole numbers where they are of one detector, means otherwise.

    Times are of detected episodes only: a detector that misses the slow ones looks fast, so read them beside
    `episode_recall`.
    """

    episodes: float | None
    episodes_detected: float | None
    episodes_unobserved: float | None
    episode_recall: float | None
    time_to_detection_median_ms: float | None
    time_to_detection_p95_ms: float | None
    false_alarms: float | None
    normal_hours: float | None
    false_alarms_per_hour: float | None


class Events(NamedTuple):
    """Counts of one capture, or of several (`total`): all of them add up."""

    episodes: int  # with an attack frame in at least one window
    detected: int  # ... in at least one flagged window
    unobserved: int  # episodes in no window (a capture's last frames, or between windows); not in `episodes`
    times_to_detection_ms: tuple[float, ...]  # of the detected episodes of captures with usable timestamps
    false_alarms: int
    timed_false_alarms: int  # those in captures with usable timestamps: only they go with `normal_hours`
    normal_hours: float  # that normal windows cover; a frame in several windows counts once

    def metrics(self) -> EventMetrics:
        """The figures; None where one is undefined."""
        times = np.array(self.times_to_detection_ms)
        return EventMetrics(
            episodes=self.episodes,
            episodes_detected=self.detected,
            episodes_unobserved=self.unobserved,
            episode_recall=self.detected / self.episodes if self.episodes else None,
            time_to_detection_median_ms=float(np.median(times)) if len(times) else None,
            time_to_detection_p95_ms=float(np.quantile(times, 0.95)) if len(times) else None,
            false_alarms=self.false_alarms,
            normal_hours=self.normal_hours,
            false_alarms_per_hour=self.timed_false_alarms / self.normal_hours if self.normal_hours else None,
        )


DEFAULT_RULES = EpisodeRules()


def capture_events(
    timestamps: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    windows: CaptureWindows,
    rules: EpisodeRules = DEFAULT_RULES,
) -> Events:
    """Events of one capture of n frames.

    The time to detection runs from an episode's first attack frame to the last frame of the first flagged window with
    one of its attack frames: before that frame there is no verdict. Give all windows of the capture: a part of them
    misses what happens elsewhere, and its clock still starts where the episode does.

    Args:
        timestamps: [n], s. Steps back inside a burst are evened out. Where all are equal, or one is not finite, gaps are
            counted in frames instead (`rules.frames_per_second`); such a capture has episodes and false alarms, but
            neither times to detection nor hours.
        labels: [n], 1 for a frame of an attack, 0 for a normal one. A window is normal if all its frames are.
        windows: The windows and which of them are flagged.
        rules: What counts as one episode and as one alarm.

    Raises:
        SchemaError: the arrays do not belong to one capture.
    """
    _check(timestamps, labels, windows)
    order = np.argsort(windows.first_frame)
    starts, flagged = np.asarray(windows.first_frame)[order], np.asarray(windows.flagged, bool)[order]
    clock, timed = frame_clock(timestamps, rules.frames_per_second)
    attack = np.flatnonzero(labels)
    new = np.diff(clock[attack], prepend=-np.inf) >= rules.max_gap_s
    episode, onset = np.cumsum(new) - 1, attack[new]
    inside = np.searchsorted(attack, starts), np.searchsorted(attack, starts + windows.size)  # [G] each, half-open
    normal = inside[0] == inside[1]

    observed = _first_window(episode, len(onset), inside, ~normal) >= 0
    first = _first_window(episode, len(onset), inside, ~normal & flagged)
    found = first >= 0
    times = clock[starts[first[found]] + windows.size - 1] - clock[onset[found]]
    alarms = _alarms(clock, starts[normal & flagged], windows.size, rules.quiet_s)
    return Events(
        episodes=int(observed.sum()),
        detected=int(found.sum()),
        unobserved=int((~observed).sum()),
        times_to_detection_ms=tuple((times * 1e3).tolist()) if timed else (),
        false_alarms=alarms,
        timed_false_alarms=alarms if timed else 0,
        normal_hours=_covered_seconds(clock, starts[normal], windows.size) / 3600 if timed else 0.0,
    )


def total(captures: Iterable[Events]) -> Events:
    """All captures as one: sums and the pooled times, so that a long capture weighs more than a short one."""
    parts = list(captures)
    return Events(
        episodes=sum(part.episodes for part in parts),
        detected=sum(part.detected for part in parts),
        unobserved=sum(part.unobserved for part in parts),
        times_to_detection_ms=tuple(time for part in parts for time in part.times_to_detection_ms),
        false_alarms=sum(part.false_alarms for part in parts),
        timed_false_alarms=sum(part.timed_false_alarms for part in parts),
        normal_hours=sum(part.normal_hours for part in parts),
    )


def _check(timestamps: NDArray[Any], labels: NDArray[Any], windows: CaptureWindows) -> None:
    if len(timestamps) != len(labels):
        raise SchemaError(f"{len(timestamps)} timestamps and {len(labels)} labels; give one of each per frame of one capture")
    starts = windows.first_frame
    if len(starts) != len(windows.flagged):
        raise SchemaError(f"{len(starts)} windows and {len(windows.flagged)} verdicts; give one verdict per window")
    if len(starts) and (starts.min() < 0 or starts.max() + windows.size > len(labels)):
        raise SchemaError(
            f"windows of {windows.size} frames begin at frames {starts.min()} to {starts.max()} of a capture of {len(labels)} "
            "frames; give the first frames, counted within this capture, and the size that its windows were cut with"
        )


def _first_window(
    episode: NDArray[np.int64], episodes: int, inside: tuple[NDArray[np.int64], NDArray[np.int64]], chosen: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Per episode, the first of the `chosen` windows with one of its attack frames; -1 if none has.

    Args:
        episode: Number of the episode of each attack frame, ascending.
        episodes: How many there are.
        inside: Half-open range of attack frames in each window; windows are in time order.
        chosen: [G]; each of them has an attack frame.
    """
    candidates, numbers = np.flatnonzero(chosen), np.arange(episodes)
    oldest, newest = episode[inside[0][candidates]], episode[inside[1][candidates] - 1]
    # Both ascend, so the first window that reaches an episode has it, or begins after it as do all later ones.
    place = np.searchsorted(newest, numbers)
    reached = place < len(candidates)
    reached[reached] = oldest[place[reached]] <= numbers[reached]
    first = np.full(episodes, -1)
    first[reached] = candidates[place[reached]]
    return first


def _alarms(clock: NDArray[np.float64], starts: NDArray[np.integer[Any]], size: int, quiet_s: float) -> int:
    """Runs of windows that touch, overlap or have less than `quiet_s` between them."""
    if not len(starts):
        return 0
    before, after = starts[:-1] + size - 1, starts[1:]
    return 1 + int(((after > before + 1) & (clock[after] - clock[before] >= quiet_s)).sum())


def _covered_seconds(clock: NDArray[np.float64], starts: NDArray[np.integer[Any]], size: int) -> float:
    """Time between neighbouring frames that both lie in a window; no time twice where windows overlap."""
    n = len(clock)
    entered, left = (np.bincount(edge, minlength=n + 1)[:n] for edge in (starts, starts + size))
    covered = np.cumsum(entered - left) > 0
    return float(np.diff(clock)[covered[1:] & covered[:-1]].sum())

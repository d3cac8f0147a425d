"""A recording -> what a detector says of each bus in it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from kdgat_models.can.recording import Counts, Recording
from kdgat_models.detection.alarms import Alarm
from kdgat_models.detection.session import Options, Session, Update
from kdgat_models.detection.verdicts import Verdicts, joined_verdicts
from kdgat_models.evaluation.episodes import CaptureWindows, EventMetrics, capture_events

Told = Callable[[str, Alarm], None]  # bus and alarm, as it is raised and as it is over


class Opener(Protocol):
    """What begins a capture: a detector."""

    def stream(self, name: str = "stream", options: Options | None = None) -> Session:
        """See `Detector.stream`."""
        ...


class Confusion(NamedTuple):
    """Windows by label and verdict, where a recording says which frames are of an attack."""

    true_attacks: int
    false_alarms: int
    missed: int
    true_normal: int
    events: EventMetrics  # episodes, time to detection, false alarms per hour


class BusReport(NamedTuple):
    """What was found on one bus of a recording."""

    recording: str
    bus: str  # channel; "" in formats that know only one
    format: str
    frames: int
    seconds: float
    begin: float  # s, time of the first frame
    ids: int
    verdicts: Verdicts
    alarms: list[Alarm]  # each as it ended
    unjudged_frames: int  # after the last whole window
    notes: list[str]
    confusion: Confusion | None  # None: the format carries no labels


class ScanReport(NamedTuple):
    """What was found in a recording."""

    buses: list[BusReport]
    counts: Counts
    notes: list[str]  # on the recording as a whole


class _Bus:
    """One bus while it is read."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.frames, self.begin, self.end = 0, 0.0, 0.0
        self.ids: set[int] = set()
        self.verdicts: list[Verdicts] = []
        self.alarms: list[Alarm] = []
        self.times: list[np.ndarray] = []  # of labelled recordings, for their episodes
        self.labels: list[np.ndarray] = []

    def take(self, update: Update, tell: Callable[[Alarm], None]) -> None:
        self.verdicts.append(update.verdicts)
        for alarm in update.alarms:
            tell(alarm)
            if not alarm.open:
                self.alarms.append(alarm)


def scan(detector: Opener, recording: Recording, options: Options | None = None, told: Told | None = None) -> ScanReport:
    """Read a recording to its end, each bus with a session of its own.

    Args:
        detector: That judges.
        recording: Just opened.
        options: How each bus is watched.
        told: Called with each alarm as it is raised, and again when it is over.

    Raises:
        CaptureError: the recording cannot be read to its end, or has no frame.
        NonFiniteError: a feature or a score is not finite.
    """
    buses: dict[str, _Bus] = {}

    def tell(bus: str) -> Callable[[Alarm], None]:
        return lambda alarm: told(bus, alarm) if told else None

    for part in recording.parts():
        frames = part.frames
        name = f"{recording.name} {part.channel}".strip()
        bus = buses.get(part.channel) or buses.setdefault(part.channel, _Bus(detector.stream(name, options)))
        bus.begin = bus.begin if bus.frames else float(frames.timestamp[0])
        bus.frames, bus.end = bus.frames + frames.size, float(frames.timestamp[-1])
        bus.ids.update(np.unique(frames.arbitration_id).tolist())
        if recording.labelled:
            bus.times.append(frames.timestamp)
            bus.labels.append(frames.label)
        bus.take(bus.session.push(frames), tell(part.channel))
    for channel, bus in buses.items():
        bus.take(bus.session.finish(), tell(channel))
    reports = [_report(recording, channel, bus) for channel, bus in buses.items()]
    return ScanReport(reports, recording.counts, _notes(recording.counts))


def _report(recording: Recording, channel: str, bus: _Bus) -> BusReport:
    verdicts = joined_verdicts(bus.verdicts)
    stream = bus.session.graphs
    notes = list(bus.session.notes)
    if not verdicts.windows:
        notes.append(
            f"{bus.frames} frames are fewer than a window of {stream.window_size}: nothing was judged; record for longer"
        )
    return BusReport(
        recording.name,
        channel,
        recording.format,
        bus.frames,
        bus.end - bus.begin,
        bus.begin,
        len(bus.ids),
        verdicts,
        bus.alarms,
        stream.tail_frames,
        notes,
        _confusion(verdicts, bus, stream.window_size) if recording.labelled and verdicts.windows else None,
    )


def _confusion(verdicts: Verdicts, bus: _Bus, window_size: int) -> Confusion:
    attack, label = verdicts.attack, verdicts.label == 1
    windows = CaptureWindows(verdicts.first_frame, window_size, attack)
    events = capture_events(np.concatenate(bus.times), np.concatenate(bus.labels), windows).metrics()
    return Confusion(
        int((attack & label).sum()),
        int((attack & ~label).sum()),
        int((~attack & label).sum()),
        int((~attack & ~label).sum()),
        events,
    )


def _notes(counts: Counts) -> list[str]:
    total, notes = sum(counts.frames.values()), list[str]()
    if counts.fd_frames:
        notes.append(
            f"{counts.fd_frames} of {total} frames are of CAN FD, which the model was not trained on: it judges them by time, "
            "ID and the first 8 bytes of their payload"
        )
    if counts.error_frames:
        notes.append(f"{counts.error_frames} error frames, which controllers report, are no traffic and were left out")
    first = counts.first_rejected
    if first is not None:
        where = f"line {first.line}: " if first.line else ""
        notes.append(f"{counts.rejected} rows are no frames and were left out; the first is {where}{first.reason}")
    return notes

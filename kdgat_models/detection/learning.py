"""Recordings of normal traffic -> a vehicle profile."""

from pathlib import Path

from kdgat_models.can.recording import Recording, open_recording
from kdgat_models.detection.scan import Opener
from kdgat_models.errors import ProfileError
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.relative_state import RelativeState
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.profiles.profile import Profile

LEAST_SECONDS = 10.0  # of traffic: slow IDs come once a second
WINDOW = 100  # frames; the norms do not depend on it
SETTLING_S = 10.0  # s in which a detector that knows nothing of the vehicle is not asked
ATTACKED_SHARE = 0.02  # of flagged windows, from which traffic looks attacked


class Learning:
    """Learns one bus of one vehicle from several recordings, one after the other."""

    def __init__(self, channel: str | None = None, old: Profile | None = None, detector: Opener | None = None) -> None:
        """Begin.

        Args:
            channel: The bus that is learnt, of recordings with several.
            old: A profile to go on from.
            detector: That says whether the traffic looks attacked; None: nobody does.
        """
        self._channel, self._detector = channel, detector
        self._state = old.start() if old else None
        self._last: RelativeState | None = None
        self._sources: list[str] = []
        self._notes: list[str] = []

    def add(self, source: Path) -> None:
        """Learn one more recording.

        Raises:
            CaptureError: it cannot be read, or has no frame.
            ProfileError: it has several buses and none was chosen, labelled attacks, or no clock.
        """
        recording = open_recording(source, on_bad_rows="quarantine")
        state = self._last.next_capture() if self._last else self._state
        stream = GraphStream(source.name, RELATIVE, WINDOW, WINDOW, state)
        session = self._detector.stream(source.name) if self._detector else None
        judged, flagged, begin = 0, 0, None
        for channel, frames in recording.parts():
            if not self._wanted(recording, channel):
                continue
            if frames.label.any():
                raise ProfileError(f"{source}: {int(frames.label.sum())} frames are labelled as of an attack; learn from none")
            stream.push(frames)
            if session:
                verdicts = session.push(frames).verdicts
                begin = float(frames.timestamp[0]) if begin is None else begin
                settled = verdicts.end_time - begin > SETTLING_S
                judged, flagged = judged + int(settled.sum()), flagged + int((verdicts.attack & settled).sum())
        stream.finish()
        if not stream.received:
            raise ProfileError(f"{source} has no frame of {self._channel}; it has: {', '.join(recording.counts.frames)}")
        if stream.untimed or stream.state is None:
            raise ProfileError(f"{source}: the timestamps tell no time, and periods are most of a profile")
        self._last = stream.state
        self._sources.append(source.name)
        if judged and flagged > ATTACKED_SHARE * judged:
            self._notes.append(
                f"{source.name} looks attacked: {flagged / judged:.1%} of its windows are flagged; learn from other traffic"
            )

    def profile(self) -> Profile:
        """What was learnt.

        Raises:
            ProfileError: nothing, or too little.
        """
        if self._last is None:
            raise ProfileError(f"no frame of {self._channel or 'any bus'} was learnt; give recordings of normal traffic")
        made = Profile.of(self._last, tuple(self._sources), tuple(self._notes))
        if made.about.seconds < LEAST_SECONDS:
            raise ProfileError(
                f"{made.about.seconds:.1f} s of traffic are too few to know a vehicle by; record at least "
                f"{LEAST_SECONDS:.0f} s, better some minutes"
            )
        return made

    def _wanted(self, recording: Recording, channel: str) -> bool:
        if self._channel is not None:
            return channel == self._channel
        if len(recording.counts.frames) > 1:
            buses = ", ".join(recording.counts.frames)
            raise ProfileError(
                f"{recording.name} has several buses: {buses}; choose one with --channel, each has its own profile"
            )
        return True

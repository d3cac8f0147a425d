"""Self-supervised augmentation: writes synthetic attacks, with frame-exact labels, into attack-free recorded traffic.

A detector that learns from them sees many attacks on many vehicles, not the few that were recorded. Rates, lengths and
payloads are drawn widely on purpose: all that the attacks have in common is that they are no normal traffic.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.errors import ConfigError
from kdgat_models.can.clock import frame_clock
from kdgat_models.can.frames import MAX_EXTENDED_ID, MAX_STANDARD_ID, PAYLOAD_BYTES, Frames
from kdgat_models.errors import DatasetError

LEAD_S = (1, 8)  # clean traffic before the first attack, uniform
DURATION_S = (0.3, 6)  # log-uniform
GAP_S = (2, 8)  # clean traffic between two attacks, uniform
PAUSE_S = 1.0  # a bus that is silent for longer is asleep
FREQUENT_HZ = 5  # IDs sent more often are worth attacking
OVERHEARD_PAYLOADS = 50  # an attacker forges from one of the victim's last so many payloads

Rng = np.random.Generator
Rows = NDArray[np.int64]
Times = NDArray[np.float64]
Payloads = NDArray[np.uint8]


class Recording(NamedTuple):
    """An attack-free capture of n frames, indexed for those who attack it."""

    frames: Frames
    clock: Times  # [n], s, ascending
    timed: bool  # False: the capture tells no time, `clock` counts frames
    ids: NDArray[np.int64]  # distinct, ascending
    max_id: int  # the highest that IDs of this width can be
    frequent: NDArray[np.int64]  # IDs to choose a victim from
    rows_by_id: dict[int, Rows]

    def rows(self, identifier: int, begin: float, end: float) -> Rows:
        """Rows of an ID's frames with begin <= time < end (s, by the clock)."""
        mine = self.rows_by_id[identifier]
        first, last = np.searchsorted(mine, np.searchsorted(self.clock, (begin, end)))
        return mine[first:last]


class Segment(NamedTuple):
    """When an attack happens, and the ID that it is about."""

    begin: float  # s, by the recording's clock
    end: float  # s
    victim: int


_NO_ROWS: Rows = np.zeros(0, np.int64)
_NO_PAYLOADS: Payloads = np.zeros((0, PAYLOAD_BYTES), np.uint8)
_NO_FRAMES = Frames(np.zeros(0), np.zeros(0, np.uint32), np.zeros(0, np.uint8), _NO_PAYLOADS, np.zeros(0, np.uint8))


class Change(NamedTuple):
    """What an attack does to a recording. Rows are the recording's."""

    sent: Frames = _NO_FRAMES  # injected; their time is the recording's clock
    forged: Rows = _NO_ROWS  # [m], genuine frames whose payload is replaced
    payload: Payloads = _NO_PAYLOADS  # [m, 8], by these
    silenced: Rows = _NO_ROWS  # [k], genuine frames that never reach the bus


Injection = Callable[[Recording, Segment, Rng], Change]


def inject(frames: Frames, rng: Rng, families: Sequence[str]) -> Frames:
    """Write attacks of 0.3 to 6 s into an attack-free capture, with 2 to 8 s of clean traffic between them.

    Genuine frames keep their order; the result is sorted by time and spans the same time. A recorder's steps back in
    time are levelled. If all timestamps are equal, they stay so, and 2000 frames count as a second.

    Args:
        frames: The capture, n frames without any label; it is not modified.
        rng: Draws everything; the same state gives the same attacks.
        families: Names in `FAMILIES`; each attack is one of them, drawn uniformly.

    Returns:
        The capture with attacks, label 1 on what they changed; `frames` itself if it is too short for any.

    Raises:
        ConfigError: no family, or an unknown one.
        DatasetError: the capture has attacks already.
    """
    _check_families(families)
    if attacked := np.count_nonzero(frames.label):
        raise DatasetError(f"{attacked} of {frames.size} frames are attacks; inject into attack-free captures only")
    if not frames.size:
        return frames
    recording = _indexed(frames)
    changes = [FAMILIES[rng.choice(families)](recording, segment, rng) for segment in _segments(recording, rng)]
    return _changed(recording, changes) if changes else frames


# Families: (recording, segment, rng) -> what the attack changes.


def single(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Sends a forged frame of one ID now and then: 0.5 to 20 a second."""
    count = max(1, int((segment.end - segment.begin) * _log_uniform(rng, 0.5, 20)))
    return _send_forged(recording, segment, np.sort(rng.uniform(segment.begin, segment.end, count)), rng)


def flood(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Sends forged frames of one ID in a steady rhythm of its own: 100 to 2000 a second."""
    gap = _log_uniform(rng, 0.0005, 0.01)
    time = np.arange(segment.begin, segment.end, gap)
    return _send_forged(recording, segment, time + rng.normal(0, 0.05 * gap, len(time)), rng)


def spoof(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Follows each frame of one ID, 0.2 to 4 ms later, with a forged one: the receiver believes the last it hears."""
    rows = recording.rows(segment.victim, segment.begin, segment.end)
    return _send_forged(recording, segment, recording.clock[rows] + _log_uniform(rng, 0.0002, 0.004), rng)


def fuzzing(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Sends random payloads, 10 to 1000 a second: either under the vehicle's IDs or under any."""
    count = max(1, int((segment.end - segment.begin) / _log_uniform(rng, 0.001, 0.1)))
    time = np.sort(rng.uniform(segment.begin, segment.end, count))
    payload = rng.integers(0, 256, (count, PAYLOAD_BYTES))
    known = rng.random() < 0.5
    ids = rng.choice(recording.ids, count) if known else rng.integers(0, recording.max_id + 1, count)
    return Change(sent=_sent(time, ids, PAYLOAD_BYTES, payload))


def new_id(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Sends one ID that the vehicle does not have, 20 to 2000 frames a second, with payloads like the victim's."""
    taken = recording.ids
    free = recording.max_id + 1 - len(taken)
    if not free:
        return Change()
    rank = rng.integers(free)
    free_below = taken - np.arange(len(taken))  # each taken ID
    identifier = rank + np.searchsorted(free_below, rank, side="right")
    time = np.arange(segment.begin, segment.end, _log_uniform(rng, 0.0005, 0.05))
    payload, _ = _forge(recording, segment, len(time), rng)
    return Change(sent=_sent(time, identifier, PAYLOAD_BYTES, payload))


def replay(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Sends again, unchanged, what up to three IDs sent 0.5 to 10 s before."""
    frames, clock = recording.frames, recording.clock
    shift = rng.uniform(0.5, min(10, segment.begin - clock[0]))
    targets = rng.choice(recording.frequent, min(3, len(recording.frequent)), replace=False)
    parts = [recording.rows(int(target), segment.begin - shift, segment.end - shift) for target in targets]
    rows = np.sort(np.concatenate(parts))
    return Change(sent=_sent(clock[rows] + shift, frames.arbitration_id[rows], frames.dlc[rows], frames.payload[rows]))


def masquerade(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Sends forged frames of one ID in the place of its own, at its own times: only the payload tells."""
    frames = recording.frames
    rows = recording.rows(segment.victim, segment.begin, segment.end)
    payload, _ = _forge(recording, segment, len(rows), rng)
    payload = _cut(payload, frames.dlc[rows])
    differs = (payload != frames.payload[rows]).any(axis=1)  # a forgery that equals the frame is no attack
    return Change(forged=rows[differs], payload=payload[differs])


def suppress(recording: Recording, segment: Segment, rng: Rng) -> Change:
    """Silences one ID. The next frame on the bus after each missing one carries the label: nothing else is there to."""
    return Change(silenced=recording.rows(segment.victim, segment.begin, segment.end))


FAMILIES: dict[str, Injection] = {
    "single": single,
    "flood": flood,
    "spoof": spoof,
    "fuzzing": fuzzing,
    "new_id": new_id,
    "replay": replay,
    "masquerade": masquerade,
    "suppress": suppress,
}


# Forgeries: (payloads that the victim has sent [m, 8], a recent one [8], DLC, count, rng) -> [count, 8], not yet cut.


def _random_each(sent: Payloads, recent: Payloads, dlc: int, count: int, rng: Rng) -> Payloads:
    return rng.integers(0, 256, (count, PAYLOAD_BYTES), np.uint8)


def _random_once(sent: Payloads, recent: Payloads, dlc: int, count: int, rng: Rng) -> Payloads:
    return np.tile(rng.integers(0, 256, PAYLOAD_BYTES, np.uint8), (count, 1))


def _some_bytes(sent: Payloads, recent: Payloads, dlc: int, count: int, rng: Rng) -> Payloads:
    forged, width = recent.copy(), max(dlc, 1)
    places = rng.choice(width, rng.integers(1, width + 1), replace=False)
    forged[places] = rng.integers(0, 256, len(places))
    return np.tile(forged, (count, 1))


def _recorded(sent: Payloads, recent: Payloads, dlc: int, count: int, rng: Rng) -> Payloads:
    return sent[rng.integers(0, len(sent), count)]


def _some_bits(sent: Payloads, recent: Payloads, dlc: int, count: int, rng: Rng) -> Payloads:
    forged = recent.copy()
    for _ in range(rng.integers(1, 6)):
        forged[rng.integers(max(dlc, 1))] ^= np.uint8(1 << rng.integers(8))
    return np.tile(forged, (count, 1))


FORGERIES = (_random_each, _random_once, _some_bytes, _recorded, _some_bits)


def _forge(recording: Recording, segment: Segment, count: int, rng: Rng) -> tuple[Payloads, int]:
    """Payloads [count, 8] for the victim's ID, made by one of `FORGERIES`, and its DLC."""
    past = recording.rows(segment.victim, -np.inf, segment.begin)
    past = past if len(past) else recording.rows_by_id[segment.victim][:1]  # not heard yet: what it is going to send
    sent, dlc = recording.frames.payload[past], int(recording.frames.dlc[past[-1]])
    recent = sent[rng.integers(max(0, len(past) - OVERHEARD_PAYLOADS), len(past))]
    forgery = FORGERIES[rng.integers(len(FORGERIES))]
    return _cut(forgery(sent, recent, dlc, count, rng), dlc), dlc


def _send_forged(recording: Recording, segment: Segment, time: Times, rng: Rng) -> Change:
    payload, dlc = _forge(recording, segment, len(time), rng)
    return Change(sent=_sent(time, segment.victim, dlc, payload))


def _sent(time: Times, ids: ArrayLike, dlc: ArrayLike, payload: NDArray[np.integer]) -> Frames:
    """Injected frames; `ids` and `dlc` are one for all or one for each."""
    count = len(time)
    ids, dlc = np.broadcast_to(np.asarray(ids, np.uint32), count), np.broadcast_to(np.asarray(dlc, np.uint8), count)
    return Frames(time, ids, dlc, payload.astype(np.uint8), np.ones(count, np.uint8))


def _cut(payload: Payloads, dlc: int | NDArray[np.uint8]) -> Payloads:
    """Payloads [m, 8] with zeros beyond the DLC (one for all, or [m])."""
    return np.where(np.arange(PAYLOAD_BYTES) < np.reshape(dlc, (-1, 1)), payload, np.uint8(0))


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _check_families(families: Sequence[str]) -> None:
    unknown = [family for family in families if family not in FAMILIES]
    if unknown or not families:
        given = f"unknown attack family {unknown[0]!r}" if unknown else "no attack family is given"
        raise ConfigError(f"{given}; choose from: {', '.join(FAMILIES)}")


def _indexed(frames: Frames) -> Recording:
    clock, timed = frame_clock(frames.timestamp)
    ids, counts = np.unique(frames.arbitration_id.astype(np.int64), return_counts=True)
    max_id = MAX_STANDARD_ID if ids[-1] <= MAX_STANDARD_ID else MAX_EXTENDED_ID
    rows = np.split(np.argsort(frames.arbitration_id, kind="stable"), np.cumsum(counts)[:-1])
    awake = np.minimum(np.diff(clock), PAUSE_S).sum()
    frequent = ids[counts > awake * FREQUENT_HZ]
    rows_by_id = dict(zip(ids.tolist(), rows, strict=True))
    return Recording(frames, clock, timed, ids, max_id, frequent if len(frequent) else ids, rows_by_id)


def _segments(recording: Recording, rng: Rng) -> Iterator[Segment]:
    clock, last = recording.clock, float(recording.clock[-1])
    begin = float(clock[0]) + rng.uniform(*LEAD_S)
    while begin < last - 1:
        following = float(clock[np.searchsorted(clock, begin)])
        if following > begin + PAUSE_S:  # nobody is there to be attacked, perhaps for hours
            begin = following + rng.uniform(*LEAD_S)
            continue
        end = min(begin + _log_uniform(rng, *DURATION_S), last)
        yield Segment(begin, end, int(rng.choice(recording.frequent)))
        begin = end + rng.uniform(*GAP_S)


def _changed(recording: Recording, changes: Sequence[Change]) -> Frames:
    """The recording with all changes, in the order of its clock; of equal times, genuine frames come first."""
    frames, clock = recording.frames, recording.clock
    label, payload, silenced = frames.label.copy(), frames.payload.copy(), np.zeros(frames.size, bool)
    for change in changes:
        payload[change.forged], label[change.forged] = change.payload, 1
        silenced[change.silenced] = True
    parts = [Frames(clock, frames.arbitration_id, frames.dlc, payload, label), *(change.sent for change in changes)]
    time, ids, dlc, payload, label = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    silenced = np.pad(silenced, (0, len(time) - frames.size))

    order = np.argsort(time, kind="stable")
    order = order[(time[order] >= clock[0]) & (time[order] <= clock[-1])]
    missing, kept = np.flatnonzero(silenced[order]), order[~silenced[order]]
    # The next kept frame after a missing one. There is one, because segments end before the last genuine frame.
    label[kept[missing - np.arange(len(missing))]] = 1
    time = time if recording.timed else np.full(len(time), frames.timestamp[0])
    return Frames(time[kept], ids[kept], dlc[kept], payload[kept], label[kept])

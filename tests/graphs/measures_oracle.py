"""The measures of schema `relative` in plain Python, frame by frame and ID by ID, from their definitions.

Nothing is shared with the fast code: dictionaries take the place of records and hashed tables. Names of measures are those
of `kdgat_models/graphs/relative_measures.py`.
"""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

MEASURES = [
    "early",
    "late",
    "deviation",
    "early_surprise",
    "hamming",
    "flip_surprise",
    "novelty",
    "successor",
    "record",
    "early_and_odd",
    "dlc_change",
    "first_seen",
    "stuck",
    "transition",
]
SHORTEST = 1e-6  # s


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def bits(share: float, frames: float) -> float:
    """Surprisal of what had this share in so many frames, with half a frame of doubt."""
    return -math.log2((share * frames + 0.5) / (frames + 1))


def signed_log(z: float) -> float:
    """log2 |z| with the sign of z, 0 within one."""
    return math.copysign(math.log2(abs(z)), z) if abs(z) > 1 else 0.0


@dataclass
class Moments:
    """Running mean and mean square, kept in single precision: their difference is where that shows."""

    mean: float = 0.0
    square: float = 0.0

    def learn(self, value: float, rate: float) -> None:
        self.mean = float(np.float32(self.mean + rate * (value - self.mean)))
        self.square = float(np.float32(self.square + rate * (value**2 - self.square)))

    @property
    def deviation(self) -> float:
        return math.sqrt(max(self.square - self.mean**2, 0) + 1)

    def standardised(self, value: float) -> float:
        return signed_log((value - self.mean) / self.deviation)

    def excess(self, value: float) -> float:
        return math.log2(1 + max(value - self.mean - 2 * self.deviation, 0))


@dataclass
class Early:
    """An early frame that was not believed."""

    time: float
    frame: int
    payload: tuple[int, ...]


@dataclass
class Sender:
    """What is known of one arbitration ID."""

    number: int  # in the order in which IDs were first seen
    born: float
    last: float
    scheduled: float  # last frame that was on time
    payload: tuple[int, ...]  # of that frame
    dlc: int
    trust: int = 0  # frames that were on time
    period: float = 0.0  # log2 s
    jitter: float = 0.0
    early: float = 0.0  # share of frames
    doubted: Early | None = None  # since the last one on time
    doubts: int = 0
    events: int = 0  # early frames with which it kept time afterwards
    unchanged: int = 0  # frames since the payload changed
    longest: int = 0  # such run, and the frame that began it
    record: float = 0.0
    hamming: Moments = field(default_factory=Moments)
    surprisal: Moments = field(default_factory=Moments)
    misses: Moments = field(default_factory=Moments)
    seen: list[set[int]] = field(default_factory=lambda: [set() for _ in range(8)])
    novel: list[float] = field(default_factory=lambda: [0.0] * 8)
    flips: list[float] = field(default_factory=lambda: [0.0] * 72)  # shares; the last eight of the XOR of all bytes
    follows: dict[tuple[int, int], int] = field(default_factory=dict)  # (nibble, its value) -> the value that came next
    hits: list[float] = field(default_factory=lambda: [0.0] * 16)

    @property
    def tolerance(self) -> float:
        return max(3 * self.jitter, 0.2)

    def rate(self, gap: float) -> float:
        """How much one frame teaches: a mean of all at first, a memory of 60 s later."""
        return 1 / (self.trust + 1) if self.trust < 200 else min(gap / 60, 1 / 200)


class Bus:
    """The measures of each frame of a capture, in `measures`; `observe` adds those of the next one."""

    def __init__(self) -> None:
        self.senders: dict[int, Sender] = {}
        self.measures: list[dict[str, float]] = []
        self.transitions = Transitions()
        self.start = 0.0

    def observe(self, clock: float, identifier: int, dlc: int, payload: tuple[int, ...]) -> None:
        if not self.measures:
            self.start = clock
        now, out = clock - self.start, dict.fromkeys(MEASURES, 0.0)
        self.measures.append(out)
        sender = self.senders.get(identifier)
        number = len(self.senders) if sender is None else sender.number
        out["transition"] = self.transitions.surprise(number)
        if sender is None:
            out["first_seen"] = 1.0
            self.senders[identifier] = Sender(number, now, now, now, payload, dlc)
            for byte, value in enumerate(payload):
                self.senders[identifier].seen[byte].add(value)
            return
        gap = max(now - sender.last, SHORTEST)
        rate = sender.rate(gap)
        if sender.trust:
            self.forgive(sender, now)
            on_time = self.measure_time(sender, now, rate, out)
        else:
            sender.period, sender.jitter, on_time = math.log2(gap), 0.3, True
        sender.last = now
        measure_payload(sender, payload, rate, on_time, out)
        out["dlc_change"] = float(dlc != sender.dlc)
        out["early_and_odd"] = math.sqrt(out["early_surprise"] * (out["flip_surprise"] + out["novelty"]))
        if on_time:
            sender.scheduled, sender.payload, sender.dlc, sender.doubted = now, payload, dlc, None
            sender.trust += 1
        else:
            sender.doubted = Early(now, len(self.measures) - 1, payload)
            sender.doubts += 1

    def forgive(self, sender: Sender, now: float) -> None:
        """An early frame with which the ID keeps time was its own: what it was blamed for is taken back."""
        early = sender.doubted
        late = periods(now - sender.scheduled, sender)
        if early is None or late <= 0:
            return
        after = abs(periods(now - early.time, sender))
        if after < min(sender.tolerance, 0.4) and after < late:
            sender.events += 1
            sender.scheduled, sender.payload = early.time, early.payload
            for name in ("early", "deviation", "early_surprise", "early_and_odd"):
                self.measures[early.frame][name] = 0.0

    def measure_time(self, sender: Sender, now: float, rate: float, out: dict[str, float]) -> bool:
        """Measure and learn a gap; False if the frame is early and not to be believed."""
        ratio = periods(now - sender.scheduled, sender)
        unlike = abs(ratio) / (3 * sender.jitter + 0.15)
        out["deviation"] = max(math.log2(unlike), 0) if unlike else 0.0
        early, habit = ratio < -min(sender.tolerance, 1), sender.early
        if early:
            out["early"] = min(-ratio, 8)
            events = sender.events / (sender.doubts + 0.5)
            out["early_surprise"] = bits(habit, min(sender.trust, 200)) * max(1 - events, 0)
        elif ratio > sender.tolerance:
            out["late"] = min(ratio, 8)
        sender.early += rate * (early - habit)
        if early and habit < 0.5:
            return False
        sender.period += rate * clip(ratio, -1, 1)
        sender.jitter += rate * (min(abs(ratio), 2) - sender.jitter)
        return True


def periods(gap: float, sender: Sender) -> float:
    """log2 of a gap in periods."""
    return math.log2(max(gap, SHORTEST)) - sender.period


def measure_payload(sender: Sender, payload: tuple[int, ...], rate: float, on_time: bool, out: dict[str, float]) -> None:
    """Measure a payload against the last one that was on time; learn it if it is on time itself."""
    frames = min(sender.trust, 6000)
    before, after = bits_of(sender.payload), bits_of(payload)
    flipped = [a != b for a, b in zip(before, after, strict=True)]
    hamming = sum(flipped[:64])
    flips_learnt = [(1 - rate) * share for share in sender.flips] if on_time else sender.flips  # before they are asked
    surprisal = sum(bits(share, frames) for share, flip in zip(flips_learnt, flipped, strict=True) if flip)
    new = [value not in sender.seen[byte] for byte, value in enumerate(payload)]
    novelty = sum(bits(share, frames) for share, is_new in zip(sender.novel, new, strict=True) if is_new)
    kept = [followed(sender, place, payload) for place in range(16)]
    misses = sum(bits(1 - share, frames) for share, as_before in zip(sender.hits, kept, strict=True) if as_before is False)
    out["hamming"] = sender.hamming.standardised(hamming)
    out["flip_surprise"] = sender.surprisal.excess(surprisal)
    out["novelty"] = math.log2(1 + novelty)
    out["successor"] = sender.misses.excess(misses)
    total = surprisal + novelty
    out["record"] = clip(math.log2((total + 4) / (sender.record + 4)), 0, 8)
    run = 0 if hamming else sender.unchanged + 1
    if sender.longest:
        out["stuck"] = clip(math.log2((run + 1) / (sender.longest + 1)), 0, 8)
    if not on_time:
        return
    for moments, value in ((sender.hamming, hamming), (sender.surprisal, surprisal), (sender.misses, misses)):
        moments.learn(value, rate)
    sender.record = max(sender.record, total)
    if hamming:
        sender.longest = max(sender.longest, sender.unchanged + 1)
    sender.unchanged = run
    sender.flips = [share + rate * flip for share, flip in zip(flips_learnt, flipped, strict=True)]
    for byte, value in enumerate(payload):
        sender.novel[byte] += rate * (new[byte] - sender.novel[byte])
        sender.seen[byte].add(value)
    for place, as_before in enumerate(kept):
        if as_before is not None:
            sender.hits[place] += rate * (as_before - sender.hits[place])
        sender.follows[place, nibble(sender.payload, place)] = nibble(payload, place)


def bits_of(payload: tuple[int, ...]) -> list[int]:
    """The bits of all bytes and of their XOR."""
    checksum = 0
    for value in payload:
        checksum ^= value
    return [value >> bit & 1 for value in (*payload, checksum) for bit in range(8)]


def nibble(payload: tuple[int, ...], place: int) -> int:
    return payload[place // 2] >> 4 if place % 2 == 0 else payload[place // 2] & 15


def followed(sender: Sender, place: int, payload: tuple[int, ...]) -> bool | None:
    """Whether a nibble follows as it did before; None if its value was never followed by any."""
    expected = sender.follows.get((place, nibble(sender.payload, place)))
    return None if expected is None else expected == nibble(payload, place)


class Transitions:
    """How often an ID was followed by which. Pairs that share a cell of the hashed table are counted together."""

    def __init__(self) -> None:
        self.previous: int | None = None
        self.followed: Counter[int] = Counter()
        self.pairs: Counter[int] = Counter()
        self.mean = 0.0
        self.frames = 0

    def surprise(self, number: int) -> float:
        """Surprisal of the next sender after the last, less the running mean of the bus."""
        previous, self.previous = self.previous, number
        self.frames += 1
        if previous is None:
            return 0.0
        cell = (previous * 2654435761 + (number + 1) * 40503) % 2**16
        surprisal = -math.log2((self.pairs[cell] + 0.5) / (self.followed[previous] + 32))
        self.pairs[cell] += 1
        self.followed[previous] += 1
        beyond = surprisal - self.mean
        self.mean += beyond / min(self.frames, 20_000)
        return beyond

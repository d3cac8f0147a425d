"""Captures to measure with schema `relative`: simulated, random, odd, and made by hand for one branch each."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import ATTACKS, arbitrate, drive, make_vehicle
from kdgat_models.graphs.relative import NODE_FEATURES, compute
from kdgat_models.graphs.relative_state import RelativeState
from kdgat_models.graphs.topology import Topology, build_topology, window_starts

TICK = 2.0**-20  # s; whole ticks stay exact when they are shifted, also to 1.7e9 s


ZEROS = np.zeros(10_000, np.uint8)


class Graphs(NamedTuple):
    topology: Topology
    nodes: np.ndarray
    edges: np.ndarray
    state: RelativeState

    @property
    def window(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.topology.starts)), np.diff(self.topology.node_offsets))

    def feature(self, name: str) -> np.ndarray:
        return self.nodes[:, NODE_FEATURES.index(name) - 1]


def measured(frames: Frames, window: int = 50, stride: int = 50) -> Graphs:
    topology = build_topology(frames, window_starts(frames.size, window, stride), window)
    features, state = compute(frames, topology)
    return Graphs(topology, features.nodes, features.edges, state)


def simulated(seed: int, attack: str | None, seconds: float = 3, begin: float = 1.5, end: float = 2.5) -> Frames:
    rng = np.random.default_rng(seed)
    vehicle = make_vehicle("any", seed)
    traffic = drive(vehicle, seconds, rng)
    bus = arbitrate(ATTACKS[attack](traffic, vehicle, begin, end, rng) if attack else traffic)
    time = np.round(bus.time / TICK) * TICK
    return Frames(time, bus.arbitration_id.astype(np.uint32), bus.dlc.astype(np.uint8), bus.payload, bus.label)


def random_frames(seed: int) -> Frames:
    """Frames without any order, some of them back in time, of IDs that may change their DLC."""
    rng = np.random.default_rng(seed)
    count, ids = int(rng.integers(150, 400)), int(rng.integers(1, 13))
    time = np.cumsum(rng.choice([0, 1, 700, 20_000, -300], count)) * TICK
    sender = rng.integers(0, ids, count)
    dlc = np.maximum(rng.integers(1, 9, ids)[sender] - (rng.random(count) < 0.05), 1).astype(np.uint8)
    payload = np.where(np.arange(8) < dlc[:, None], rng.choice([0, 1, 7, 255], (count, 8)), 0).astype(np.uint8)
    return Frames(time, sender.astype(np.uint32) * 77, dlc, payload, (rng.random(count) < 0.05).astype(np.uint8))


def sent_by_one(time, payload=None) -> Frames:
    """Frames of one ID, DLC 8, zeros if no payload is given."""
    count = len(time)
    payload = np.zeros((count, 8), np.uint8) if payload is None else payload
    return Frames(
        np.asarray(time, float), np.full(count, 0x123, np.uint32), np.full(count, 8, np.uint8), payload, ZEROS[:count]
    )


def odd_captures() -> dict[str, Frames]:
    plain = simulated(2, "fuzzing")
    n = plain.size
    alone = sent_by_one(np.arange(300) * 0.01)
    late, year = plain.timestamp.copy(), plain.timestamp.copy()
    late[0], year[n // 2 :] = 10.0, year[n // 2 :] + 3e7
    empty = plain._replace(dlc=np.zeros_like(plain.dlc), payload=np.zeros_like(plain.payload))
    each_its_own = np.random.default_rng(0).choice(2**29, n, replace=False).astype(np.uint32)
    return {
        "one ID": alone,
        "exactly one window": Frames(*(column[:50] for column in plain)),
        "one window of one ID": Frames(*(column[:50] for column in alone)),
        "constant timestamps": plain._replace(timestamp=np.full(n, 5.0)),
        "timestamps that step back": plain._replace(timestamp=plain.timestamp - 0.01 * (np.arange(n) % 7 == 0)),
        "timestamps before the first": plain._replace(timestamp=late),
        "timestamps that run backwards": plain._replace(timestamp=plain.timestamp[::-1].copy()),
        "a pause of a year": plain._replace(timestamp=year),
        "no payloads": empty,
        "29-bit IDs": plain._replace(arbitration_id=plain.arbitration_id + np.uint32(0x1FFF_F000)),
        "thousands of IDs": plain._replace(arbitration_id=each_its_own),
    }


def merged(senders: dict[int, np.ndarray]) -> Frames:
    """Frames of several IDs, given the times of each; payloads count."""
    time = np.concatenate(list(senders.values()))
    sender = np.repeat(list(senders), [len(times) for times in senders.values()]).astype(np.uint32)
    order = np.argsort(time, kind="stable")
    frames = sent_by_one(time[order], counting(len(time)))
    return frames._replace(arbitration_id=sender[order])


def counting(count: int) -> np.ndarray:
    """Payloads of a counter, noise, a constant, and the XOR of these: each bit of the checksum flips half of the time."""
    payload = np.tile(np.array([0, 0, 77, 0, 0, 0, 0, 0], np.uint8), (count, 1))
    payload[:, 0], payload[:, 1] = np.arange(count) % 16, np.random.default_rng(0).integers(0, 256, count)
    payload[:, 3] = np.bitwise_xor.reduce(payload[:, :3], axis=1)
    return payload


def one_that_grows_old() -> Frames:
    """One ID for 6,800 frames: norms mature, memory fills, payloads freeze, DLCs change, early frames become a habit."""
    rng = np.random.default_rng(3)
    gap = 0.01 * rng.uniform(0.95, 1.05, 6800)
    gap[np.arange(300, 3000, 97)] *= 0.3  # events: it keeps time with the early frame
    gap[[400, 900, 1500]] = [0.5, 0.35, 2.0]  # late; a mature ID learns from them as quickly as it may
    gap[[2500, 2700]] = [20.0, 1e-6]  # beyond what a measure says
    gap[3200:3260] *= 0.25  # a habit
    payload = counting(6800)
    payload[4:5] = payload[3]
    payload[3300:3320] = payload[3299]
    payload[5000:5300] = payload[4999]
    payload[6750] = 255 - payload[6749]
    payload[6700:6720, 4] = 200
    frames = sent_by_one(np.cumsum(gap), payload)
    return frames._replace(dlc=np.where(np.isin(np.arange(6800), [50, 51, 5400]), 7, 8).astype(np.uint8))


def one_that_freezes() -> Frames:
    """One payload, then another for 700 frames."""
    payload = np.zeros((700, 8), np.uint8)
    payload[1:] = 9
    return sent_by_one(np.arange(700) * 0.01, payload)


def units_that_wake_up() -> Frames:
    """One ID from the start; 70 more within a second, 3 just a second after, 2 alone."""
    woken = {10 + i: 10 + 0.01 * i + 0.1 * np.arange(6) for i in range(70)}
    later = {100 + i: 11.5 + i + 0.05 * np.arange(8) for i in range(3)}
    alone = {200: 20 + 0.5 * np.arange(6), 201: 22.5 + 0.25 * np.arange(5)}
    return merged({1: np.arange(0, 26, 0.02), **woken, **later, **alone})


def some_that_fall_silent() -> Frames:
    """Three fall silent one after another, one of them before it is trusted; the fourth goes on."""
    silent = {2: 0.013 * np.arange(60), 3: 0.031 * np.arange(40) + 0.5, 4: 0.1 * np.arange(20)}
    return merged({1: np.arange(0, 16, 0.01), **silent})


def pauses_and_floods() -> Frames:
    """A bus that all but stops, and one that is flooded."""
    rng = np.random.default_rng(5)
    gap = np.full(900, 0.01) * rng.uniform(0.9, 1.1, 900)
    gap[300:340], gap[600:680] = 3.0, 1e-5
    frames = sent_by_one(np.cumsum(gap), counting(900))
    return frames._replace(arbitration_id=rng.integers(0, 3, 900).astype(np.uint32))


def reports_and_intruders() -> Frames:
    """Two IDs with early frames: one keeps time with them, the other is spoofed."""
    rng = np.random.default_rng(0)
    regular, at = np.arange(300) * 0.1, np.arange(30, 300, 7)
    shift = 0.1 * rng.uniform(0.2, 0.9, len(at))
    reports = regular + 0.03
    for row, earlier in zip(at, shift, strict=True):
        reports[row:] -= earlier
    return merged({1: reports, 2: np.sort(np.concatenate([regular, regular[at] - shift]))})


MADE = {
    "one that grows old": one_that_grows_old,
    "one that freezes": one_that_freezes,
    "units that wake up": units_that_wake_up,
    "some that fall silent": some_that_fall_silent,
    "pauses and floods": pauses_and_floods,
    "reports and intruders": reports_and_intruders,
}


@st.composite
def captures(draw) -> Frames:
    seed, kind = draw(st.integers(0, 10**6)), draw(st.sampled_from(["random", None, *ATTACKS]))
    return random_frames(seed) if kind == "random" else simulated(seed, kind)

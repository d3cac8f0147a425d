"""A CAN bus simulator: vehicles with periodic frames, arbitration by priority, and attacks with frame-exact labels.

It is a stand-in for recordings, not a claim about them: IDs are sent with jitter around their periods, compete for the
bus by priority, and carry counters, checksums, constants and slowly moving signals.
"""

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.files import atomic_path

BITRATE = 500_000  # bit/s
PERIODS_S = (0.01, 0.01, 0.02, 0.02, 0.05, 0.1, 0.1, 0.2, 0.5, 1.0)


class Message(NamedTuple):
    """One periodic arbitration ID of a vehicle and how its payload moves."""

    arbitration_id: int
    period: float  # s
    phase: float  # s
    dlc: int
    kinds: tuple[str, ...]  # of each byte: constant, signal, counter, checksum
    constants: tuple[int, ...]


class Vehicle(NamedTuple):
    """A simulated car: its name and all messages that its units send."""

    name: str
    messages: tuple[Message, ...]


class Traffic(NamedTuple):
    """Frames that want the bus, in any order; after `arbitrate` their time is when they are on it."""

    time: NDArray[np.float64]  # [n], s
    arbitration_id: NDArray[np.int64]  # [n]
    dlc: NDArray[np.int64]  # [n]
    payload: NDArray[np.uint8]  # [n, 8]
    label: NDArray[np.uint8]  # [n]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Traffic":
        """The frames of these rows: indices, in their order, or a mask [n]."""
        return Traffic(self.time[rows], self.arbitration_id[rows], self.dlc[rows], self.payload[rows], self.label[rows])


Rng = np.random.Generator
Attack = Callable[[Traffic, Vehicle, float, float, Rng], Traffic]


def make_vehicle(name: str, seed: int, messages: int = 28) -> Vehicle:
    """A vehicle whose IDs, periods and payload layouts follow from `seed`; short periods have high priority."""
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(np.arange(0x040, 0x700), messages, replace=False))
    periods = np.sort(rng.choice(PERIODS_S, messages))
    return Vehicle(name, tuple(_make_message(int(i), float(p), rng) for i, p in zip(ids, periods, strict=True)))


def _make_message(arbitration_id: int, period: float, rng: Rng) -> Message:
    dlc = int(rng.choice([8, 8, 8, 6, 4, 2]))
    kinds = list(rng.choice(["constant", "signal", "signal", "constant"], dlc))
    if dlc >= 4 and rng.random() < 0.7:
        kinds[-2:] = ["counter", "checksum"]
    constants = tuple(int(value) for value in rng.integers(0, 256, dlc))
    return Message(arbitration_id, period, float(rng.uniform(0, period)), dlc, tuple(kinds), constants)


def drive(vehicle: Vehicle, seconds: float, rng: Rng) -> Traffic:
    """Normal traffic of `seconds` s: each message at its period with 2 % jitter."""
    parts = []
    for message in vehicle.messages:
        count = max(int((seconds - message.phase) / message.period), 1)
        time = message.phase + message.period * (np.arange(count) + rng.normal(0, 0.02, count))
        parts.append(_frames(message, np.maximum(time, 0.0), _payloads(message, count, rng), 0))
    return _joined(parts)


def _payloads(message: Message, count: int, rng: Rng) -> NDArray[np.uint8]:
    """[count, 8] bytes: random walks for signals, a rolling counter, an XOR checksum over the bytes before it."""
    payload = np.zeros((count, 8), np.uint8)
    # Signals move on the scale of seconds, whatever the period of the message.
    step = 1 + 40 * message.period
    for byte, (kind, constant) in enumerate(zip(message.kinds, message.constants, strict=True)):
        if kind == "constant":
            payload[:, byte] = constant
        elif kind == "signal":
            walk = constant + np.cumsum(rng.normal(0, step, count))
            payload[:, byte] = 255 - np.abs(np.mod(walk, 510) - 255)  # reflected at both ends, never wraps
        elif kind == "counter":
            payload[:, byte] = np.arange(count) % 16
    if "checksum" in message.kinds:
        place = message.kinds.index("checksum")
        payload[:, place] = np.bitwise_xor.reduce(payload[:, :place], axis=1)
    return payload


def arbitrate(traffic: Traffic) -> Traffic:
    """Put the frames on the bus: one at a time; of those that wait, the lowest arbitration ID goes first."""
    order = np.argsort(traffic.time, kind="stable")
    duration = (47 + 8 * traffic.dlc) * 1.1 / BITRATE  # 11-bit frame, a tenth of stuff bits
    ready, waiting = order.tolist(), []
    sent, times = [], []
    now, following = 0.0, 0
    while following < len(ready) or waiting:
        if not waiting:
            now = max(now, traffic.time[ready[following]])
        while following < len(ready) and traffic.time[ready[following]] <= now:
            row = ready[following]
            heapq.heappush(waiting, (traffic.arbitration_id[row], following, row))
            following += 1
        row = heapq.heappop(waiting)[2]
        now += duration[row]
        sent.append(row)
        times.append(now)
    return traffic.take(np.array(sent))._replace(time=np.array(times))


# Attacks: (traffic before arbitration, vehicle, begin, end, rng) -> traffic with the attack in it.


def dos(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Floods the bus with the highest priority."""
    time = np.arange(begin, end, 0.0005)
    return _joined([traffic, _injected(time, np.zeros(len(time), int), np.zeros((len(time), 8), np.uint8))])


def fuzzing(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Injects random IDs with random payloads."""
    time = np.sort(rng.uniform(begin, end, int((end - begin) / 0.002)))
    payload = rng.integers(0, 256, (len(time), 8)).astype(np.uint8)
    return _joined([traffic, _injected(time, rng.integers(0, 0x800, len(time)), payload)])


def spoofing(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Follows each frame of one ID with a forged one, so that the receiver believes the last it hears."""
    victim = _victim(vehicle, rng)
    rows = _during(traffic, victim, begin, end)
    forged = np.tile(rng.integers(0, 256, 8).astype(np.uint8), (len(rows), 1))
    return _joined([traffic, _injected(traffic.time[rows] + 0.001, traffic.arbitration_id[rows], forged)])


def replay(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Sends again, unchanged, what three IDs sent up to ten seconds before."""
    targets = rng.choice([message.arbitration_id for message in vehicle.messages], 3, replace=False)
    shift = min(begin, 10.0)
    rows = np.flatnonzero(
        np.isin(traffic.arbitration_id, targets) & (traffic.time >= begin - shift) & (traffic.time < end - shift)
    )
    copies = traffic.take(rows)
    return _joined([traffic, copies._replace(time=copies.time + shift, label=np.ones(len(rows), np.uint8))])


def suppress(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Silences one ID. Nothing is injected: the next frame on the bus after each missing one carries the label."""
    missing = _during(traffic, _victim(vehicle, rng), begin, end)
    kept = np.setdiff1d(np.arange(len(traffic.time)), missing)
    rest = traffic.take(kept[np.argsort(traffic.time[kept], kind="stable")])
    label = rest.label.copy()
    label[np.minimum(np.searchsorted(rest.time, traffic.time[missing]), len(label) - 1)] = 1
    return rest._replace(label=label)


def masquerade(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Silences one ID and sends forged frames in its place at its own times: only the payload tells."""
    rows = _during(traffic, _victim(vehicle, rng), begin, end)
    payload, label = traffic.payload.copy(), traffic.label.copy()
    payload[rows] = rng.integers(0, 256, 8).astype(np.uint8)
    label[rows] = 1
    return traffic._replace(payload=payload, label=label)


def malfunction(traffic: Traffic, vehicle: Vehicle, begin: float, end: float, rng: Rng) -> Traffic:
    """Makes one unit babble: its ID again and again, out of rhythm, with meaningless payloads."""
    time = np.sort(rng.uniform(begin, end, int((end - begin) / 0.004)))
    payload = rng.integers(0, 256, (len(time), 8)).astype(np.uint8)
    return _joined([traffic, _injected(time, np.full(len(time), _victim(vehicle, rng).arbitration_id), payload)])


ATTACKS: dict[str, Attack] = {
    "DoS": dos,
    "fuzzing": fuzzing,
    "spoofing": spoofing,
    "replay": replay,
    "suppress": suppress,
    "masquerade": masquerade,
    "malfunction": malfunction,
}


class Episode(NamedTuple):
    """One capture of the demo dataset."""

    split: str
    vehicle: str
    attack: str | None
    seconds: float


KNOWN, UNKNOWN = ("alpha", "bravo"), ("charlie", "delta")
DEMO = (
    *(Episode("train_01_attack_free", vehicle, None, 45) for vehicle in KNOWN),
    *(Episode("train_02_with_attacks", v, a, 30) for v in KNOWN for a in ("DoS", "fuzzing", "spoofing", "replay")),
    *(Episode("test_01_known_vehicle_known_attack", v, a, 20) for v, a in zip(KNOWN, ("fuzzing", "spoofing"), strict=True)),
    *(Episode("test_02_unknown_vehicle_known_attack", v, a, 20) for v, a in zip(UNKNOWN, ("DoS", "fuzzing"), strict=True)),
    Episode("test_03_known_vehicle_unknown_attack", "alpha", "malfunction", 20),
    Episode("test_04_unknown_vehicle_unknown_attack", "charlie", "malfunction", 20),
    Episode("test_05_suppress", "bravo", "suppress", 20),
    Episode("test_06_masquerade", "alpha", "masquerade", 20),
)


def simulate_capture(episode: Episode, seed: int) -> Traffic:
    """One capture: a drive with an attack of 1 to 3 s about every 5 s, if the episode has one."""
    fleet = KNOWN + UNKNOWN
    vehicle = make_vehicle(episode.vehicle, seed * 100 + fleet.index(episode.vehicle))
    # The recording has its own stream: two captures of one vehicle share the vehicle, not the drive.
    rng = np.random.default_rng([seed, *f"{episode.split}/{episode.vehicle}/{episode.attack}".encode()])
    traffic = drive(vehicle, episode.seconds, rng)
    if episode.attack:
        begin = rng.uniform(2, 4)
        while begin < episode.seconds - 1:
            end = min(begin + rng.uniform(1, 3), episode.seconds)
            traffic = ATTACKS[episode.attack](traffic, vehicle, begin, end, rng)
            begin = end + rng.uniform(2, 4)
    return arbitrate(traffic)


def write_demo(folder: Path, seed: int = 0, seconds_scale: float = 1.0) -> list[Path]:
    """Write the demo dataset as four-column CSV files `folder/{split}/{attack}-{vehicle}.csv`.

    Args:
        folder: Dataset folder.
        seed: Seed of vehicles, drives and attacks.
        seconds_scale: Multiplies the length of each capture.
    """
    written = []
    for episode in DEMO:
        traffic = simulate_capture(episode._replace(seconds=episode.seconds * seconds_scale), seed)
        path = folder / episode.split / f"{episode.attack or 'attack-free'}-{episode.vehicle}.csv"
        _write_csv(path, traffic)
        written.append(path)
    return written


def _write_csv(path: Path, traffic: Traffic) -> None:
    rows = zip(traffic.time + 1.7e9, traffic.arbitration_id, traffic.dlc, traffic.payload, traffic.label, strict=True)
    lines = [f"{time:.6f},{i:03X},{bytes(data[:dlc]).hex().upper()},{label}\n" for time, i, dlc, data, label in rows]
    with atomic_path(path) as temporary, temporary.open("w") as file:
        file.write("timestamp,arbitration_id,data_field,attack\n")
        file.writelines(lines)


def _victim(vehicle: Vehicle, rng: Rng) -> Message:
    """A message that is sent often and carries a signal: the kind that is worth forging."""
    worth = [m for m in vehicle.messages if m.period <= 0.05 and "signal" in m.kinds] or list(vehicle.messages)
    return worth[rng.integers(len(worth))]


def _during(traffic: Traffic, message: Message, begin: float, end: float) -> NDArray[np.int64]:
    mine = traffic.arbitration_id == message.arbitration_id
    return np.flatnonzero(mine & (traffic.time >= begin) & (traffic.time < end) & (traffic.label == 0))


def _frames(message: Message, time: NDArray[np.float64], payload: NDArray[np.uint8], label: int) -> Traffic:
    count = len(time)
    ids, dlc = np.full(count, message.arbitration_id), np.full(count, message.dlc)
    return Traffic(time, ids, dlc, payload, np.full(count, label, np.uint8))


def _injected(time: NDArray[np.float64], ids: NDArray[np.int64], payload: NDArray[np.uint8]) -> Traffic:
    return Traffic(time, ids, np.full(len(time), 8), payload, np.ones(len(time), np.uint8))


def _joined(parts: list[Traffic]) -> Traffic:
    return Traffic(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

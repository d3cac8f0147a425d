"""What the simulator draws, in the shares and within the bounds that it states: vehicles, captures, the demo."""

from collections import Counter

import numpy as np
import pytest

from kdgat_models.can import simulate
from kdgat_models.can.simulate import ATTACKS, DEMO, Episode, Message, Traffic, Vehicle, make_vehicle, simulate_capture


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Those of 400 vehicles: shares are known to a hundredth or two."""
    return [message for seed in range(400) for message in make_vehicle("any", seed).messages]


def within(values: np.ndarray, low: float, high: float, near: float) -> bool:
    """Whether the values reach both bounds to within `near`, and do not leave them."""
    return low <= values.min() < low + near and high - near < values.max() <= high


def share(values: list) -> dict:
    return {value: pytest.approx(count / len(values), abs=0.02) for value, count in Counter(values).items()}


def test_vehicles_have_ids_periods_and_lengths_in_the_stated_shares(messages):
    ids = [message.arbitration_id for message in messages]
    assert (min(ids), max(ids)) == (0x040, 0x6FF)
    periods = {0.01: 0.2, 0.02: 0.2, 0.05: 0.1, 0.1: 0.2, 0.2: 0.1, 0.5: 0.1, 1.0: 0.1}
    assert share([message.period for message in messages]) == periods
    assert share([message.dlc for message in messages]) == {8: 0.5, 6: 1 / 6, 4: 1 / 6, 2: 1 / 6}
    phases = np.array([message.phase / message.period for message in messages])
    assert phases.mean() == pytest.approx(0.5, abs=0.02)
    assert within(phases, 0, 1, 0.01)
    constants = [constant for message in messages for constant in message.constants]
    assert (min(constants), max(constants)) == (0, 255)


def test_seven_in_ten_messages_of_four_bytes_or_more_carry_a_counter_and_a_checksum(messages):
    def protected(dlc):
        return [message.kinds[-2:] == ("counter", "checksum") for message in messages if message.dlc == dlc]

    assert [np.mean(protected(dlc)) for dlc in (2, 4, 6, 8)] == pytest.approx([0, 0.7, 0.7, 0.7], abs=0.03)
    others = [kind for message in messages for kind in message.kinds if kind not in ("counter", "checksum")]
    assert share(others) == {"signal": 0.5, "constant": 0.5}


SIGNAL = ("constant", "signal")


def test_what_is_worth_forging_comes_every_fifty_milliseconds_and_carries_a_signal():
    rows = [(0x100, 0.05, SIGNAL), (0x200, 0.1, SIGNAL), (0x300, 0.01, ("constant",) * 2), (0x400, 0.02, SIGNAL)]
    vehicle = Vehicle("x", tuple(Message(i, period, 0.0, 2, kinds, (0, 0)) for i, period, kinds in rows))
    ids = np.array([row[0] for row in rows])
    bus = Traffic(np.full(4, 1.5), ids, np.full(4, 2), np.zeros((4, 8), np.uint8), np.zeros(4, np.uint8))
    forged = [ATTACKS["masquerade"](bus, vehicle, 1.0, 2.0, np.random.default_rng(seed)).label for seed in range(40)]
    assert np.any(forged, axis=0).tolist() == [True, False, False, True]


def test_a_forged_payload_may_be_any():
    vehicle = Vehicle("x", (Message(0x100, 0.01, 0.0, 8, ("signal",) * 8, (0,) * 8),))
    bus = Traffic(np.full(1, 1.5), np.full(1, 0x100), np.full(1, 8), np.zeros((1, 8), np.uint8), np.zeros(1, np.uint8))
    for name, row in (("masquerade", 0), ("spoofing", 1), ("fuzzing", 1), ("malfunction", 1)):
        attacked = [ATTACKS[name](bus, vehicle, 1.0, 2.0, np.random.default_rng(seed)) for seed in range(200)]
        values = np.array([traffic.payload[row] for traffic in attacked])
        assert len(np.unique(values)) > 250, name
        assert (values.min(), values.max()) == (0, 255), name


@pytest.fixture
def attacks_of(monkeypatch):
    """A function that returns begin and end of every attack on a capture."""

    def attacks_of(seconds: float, seed: int) -> list[tuple[float, float]]:
        drawn = []

        def record(traffic, vehicle, begin, end, rng):
            drawn.append((float(begin), float(end)))
            return traffic

        monkeypatch.setitem(ATTACKS, "DoS", record)
        simulate_capture(Episode("test", "alpha", "DoS", seconds), seed)
        return drawn

    monkeypatch.setattr(simulate, "make_vehicle", lambda name, seed: Vehicle(name, make_vehicle(name, seed).messages[-2:]))
    return attacks_of


def test_attacks_have_the_stated_lengths_and_pauses_and_begin_a_second_before_the_end_at_the_latest(attacks_of):
    captures = [attacks_of(30, seed) for seed in range(200)]
    first = np.array([drawn[0][0] for drawn in captures])
    assert within(first, 2, 4, 0.05)
    length = np.array([end - begin for drawn in captures for begin, end in drawn[:-1]])
    assert within(length, 1, 3, 0.02)
    pause = np.array([after[0] - one[1] for drawn in captures for one, after in zip(drawn, drawn[1:], strict=False)])
    assert within(pause, 2, 4, 0.02)
    begin, end = np.array([drawn[-1] for drawn in captures]).T
    assert 28.8 < begin.max() < 29
    assert end.max() == 30  # the longest are cut


def test_the_demo_has_forty_five_seconds_without_attacks_thirty_with_and_twenty_to_test():
    seconds = {"train_01_attack_free": 45, "train_02_with_attacks": 30}
    assert all(episode.seconds == seconds.get(episode.split, 20) for episode in DEMO)
    assert Counter(episode.split[:8] for episode in DEMO) == {
        "train_01": 2, "train_02": 8, "test_01_": 2, "test_02_": 2, "test_03_": 1, "test_04_": 1, "test_05_": 1, "test_06_": 1
    }  # fmt: skip


def test_the_demo_is_of_seed_0_and_whole_unless_another_is_asked_for(tmp_path, monkeypatch):
    episode = Episode("train_01_attack_free", "bravo", None, 3)
    monkeypatch.setattr(simulate, "DEMO", (episode,))
    (file,) = simulate.write_demo(tmp_path)
    assert len(file.read_text().splitlines()) == 1 + len(simulate_capture(episode, 0).time)
    first = file.read_text().splitlines()[1]
    assert first.startswith(f"{simulate_capture(episode, 0).time[0] + 1.7e9:.6f},")

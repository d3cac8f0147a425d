"""The bus and the attacks of the simulator, on traffic that was made by hand."""

import numpy as np
import pytest

from config.catalog import dataset_entry, stated_vehicle
from kdgat_models.can.simulate import (
    ATTACKS,
    DEMO,
    PERIODS_S,
    Episode,
    Message,
    Traffic,
    Vehicle,
    arbitrate,
    drive,
    make_vehicle,
    simulate_capture,
    write_demo,
)

FAST = Message(0x100, 0.01, 0.005, 8, ("signal",) * 8, (10,) * 8)
CONSTANT = Message(0x200, 0.01, 0.0, 4, ("constant",) * 4, (1, 2, 3, 4))
SLOW = Message(0x300, 0.5, 0.25, 2, ("signal",) * 2, (0, 0))
VEHICLE = Vehicle("by hand", (FAST, CONSTANT, SLOW))
BEGIN, END = 12.0, 14.0


def rng(seed=0):
    return np.random.default_rng(seed)


def traffic(*frames):
    """Frames as (time, ID) or (time, ID, DLC); the payload is the number of the frame."""
    time, ids, dlc = (np.array(column) for column in zip(*((*frame, 8)[:3] for frame in frames), strict=True))
    payload = np.repeat(np.arange(len(frames), dtype=np.uint8)[:, None], 8, axis=1)
    return Traffic(time.astype(float), ids, dlc, payload, np.zeros(len(frames), np.uint8))


def regular(seconds=30.0):
    """Each message at exactly its period; the payload of a frame tells its number."""
    frames = [
        (message.phase + message.period * number, message.arbitration_id, message.dlc)
        for message in VEHICLE.messages
        for number in range(int(seconds / message.period))
    ]
    return traffic(*frames)._replace(payload=rng().integers(0, 256, (len(frames), 8)).astype(np.uint8))


def during(bus, identifier, begin=BEGIN, end=END):
    return (bus.arbitration_id == identifier) & (bus.time >= begin) & (bus.time < end)


def attacked(name, bus=None, seed=0):
    bus = bus or regular()
    return bus, ATTACKS[name](bus, VEHICLE, BEGIN, END, rng(seed))


def injected_by(name, seed=0):
    """The frames that an attack adds behind those that were there, which are as before."""
    bus, after = attacked(name, seed=seed)
    count = len(bus.time)
    for before, column in zip(bus, after, strict=True):
        np.testing.assert_array_equal(column[:count], before)
    return bus, after.take(np.arange(count, len(after.time)))


# The bus


def seconds_of(dlc):
    return (47 + 8 * dlc) * 1.1 / 500_000


def test_a_frame_is_on_the_bus_when_it_was_sent_and_takes_its_length():
    sent = arbitrate(traffic((0.0, 5, 8), (0.1, 6, 0), (0.2, 7, 3)))
    np.testing.assert_allclose(sent.time, [seconds_of(8), 0.1 + seconds_of(0), 0.2 + seconds_of(3)], rtol=1e-12)
    assert sent.arbitration_id.tolist() == [5, 6, 7]


def test_of_those_that_wait_the_lowest_id_goes_first_and_equal_ones_in_their_order():
    sent = arbitrate(traffic((0.0, 9), (1e-6, 7), (1e-6, 3), (2e-6, 7), (2e-6, 3)))
    assert sent.arbitration_id.tolist() == [9, 3, 3, 7, 7]
    assert sent.payload[:, 0].tolist() == [0, 2, 4, 1, 3]
    np.testing.assert_allclose(np.diff(sent.time), seconds_of(8), rtol=1e-9)


def test_a_frame_that_is_being_sent_is_not_interrupted_and_one_that_comes_later_does_not_overtake():
    wait = seconds_of(8)
    sent = arbitrate(traffic((0.0, 9), (wait * 0.5, 8), (wait * 1.5, 1)))
    assert sent.arbitration_id.tolist() == [9, 8, 1]
    assert arbitrate(traffic((0.0, 9), (wait, 1))).time[1] == pytest.approx(2 * wait)


def test_whatever_the_order_of_the_rows_the_bus_carries_the_same():
    bus = traffic((0.3, 1), (0.1, 2), (0.2, 3))
    sent = arbitrate(bus)
    assert sent.arbitration_id.tolist() == [2, 3, 1]
    assert sent.payload[:, 0].tolist() == [1, 2, 0]
    shuffled = arbitrate(bus.take(np.array([2, 0, 1])))
    np.testing.assert_array_equal(shuffled.time, sent.time)


# Vehicles and drives


def test_a_vehicle_has_distinct_ids_in_ascending_order_and_short_periods_first():
    vehicle = make_vehicle("x", 3)
    ids = [message.arbitration_id for message in vehicle.messages]
    periods = [message.period for message in vehicle.messages]
    assert (vehicle.name, len(ids)) == ("x", 28)
    assert ids == sorted(set(ids))
    assert periods == sorted(periods)
    assert set(periods) <= set(PERIODS_S)
    assert 0x040 <= ids[0] <= ids[-1] < 0x700
    assert len(make_vehicle("x", 3, messages=5).messages) == 5
    assert make_vehicle("x", 3) == vehicle
    assert make_vehicle("x", 4) != vehicle


@pytest.mark.parametrize("seed", range(5))
def test_payload_layouts_fit_their_dlc(seed):
    protected = 0
    for message in make_vehicle("x", seed).messages:
        assert message.dlc in (8, 6, 4, 2)
        assert len(message.kinds) == len(message.constants) == message.dlc
        assert all(0 <= constant <= 255 for constant in message.constants)
        assert 0 <= message.phase < message.period
        if "checksum" in message.kinds:
            assert message.dlc >= 4
            assert message.kinds[-2:] == ("counter", "checksum")
            assert not {"counter", "checksum"} & set(message.kinds[:-2])
            protected += 1
    assert 5 < protected < 28


def test_a_drive_sends_each_message_at_its_period_from_its_phase_on():
    bus = drive(VEHICLE, 20.0, rng())
    assert not bus.label.any()
    assert bus.time.min() >= 0
    for message in VEHICLE.messages:
        mine = bus.arbitration_id == message.arbitration_id
        count = int((20.0 - message.phase) / message.period)
        assert mine.sum() == count
        assert np.all(bus.dlc[mine] == message.dlc)
        off = (bus.time[mine] - message.phase) / message.period - np.arange(count)
        off = off[1:]  # the first may not come before 0
        assert np.abs(off).max() < 0.1
        assert 0.01 < off.std() < 0.03
        assert not bus.payload[mine][:, message.dlc :].any()


def test_a_message_that_is_slower_than_the_drive_comes_once():
    assert len(drive(Vehicle("x", (SLOW,)), 0.1, rng()).time) == 1


def test_bytes_move_as_their_kind_says():
    kinds = ("constant", "signal", "counter", "checksum")
    message = Message(0x100, 0.01, 0.0, 4, kinds, (77, 100, 0, 0))
    payload = drive(Vehicle("x", (message,)), 20.0, rng()).payload.astype(int)
    assert set(payload[:, 0]) == {77}
    assert payload[:, 2].tolist() == [number % 16 for number in range(len(payload))]
    np.testing.assert_array_equal(payload[:, 3], payload[:, 0] ^ payload[:, 1] ^ payload[:, 2])
    assert not payload[:, 4:].any()
    steps = np.diff(payload[:, 1])
    assert abs(payload[0, 1] - 100) < 10
    assert np.abs(steps).max() < 10  # it is reflected at 0 and 255 and never wraps
    assert 1.0 < steps.std() < 2.0  # 1 + 40 * 0.01
    assert len(set(payload[:, 1])) > 50


def test_slow_messages_move_further_between_two_frames():
    payload = drive(Vehicle("x", (SLOW,)), 500.0, rng()).payload.astype(int)
    assert 10 < np.diff(payload[:, 0]).std() < 25  # 1 + 40 * 0.5 = 21, less what is reflected


# Attacks


def test_dos_floods_with_the_highest_priority():
    _, flood = injected_by("DoS")
    np.testing.assert_allclose(flood.time, np.arange(BEGIN, END, 0.0005))
    assert not flood.arbitration_id.any()
    assert not flood.payload.any()
    assert set(flood.dlc) == {8}
    assert flood.label.all()


def test_fuzzing_injects_any_id_with_any_payload():
    _, noise = injected_by("fuzzing")
    assert len(noise.time) == 1000
    assert np.all(np.diff(noise.time) >= 0)
    assert BEGIN <= noise.time.min() < BEGIN + 0.1
    assert END - 0.1 < noise.time.max() < END
    assert noise.label.all()
    assert noise.arbitration_id.min() < 0x40
    assert 0x7C0 < noise.arbitration_id.max() < 0x800
    assert len(np.unique(noise.payload)) == 256
    assert set(noise.dlc) == {8}


@pytest.mark.parametrize("seed", range(4))
def test_spoofing_follows_each_frame_of_a_frequent_signal_with_one_forgery(seed):
    bus, forged = injected_by("spoofing", seed)
    genuine = during(bus, FAST.arbitration_id)  # the constants are not worth it, nor is what is seldom sent
    np.testing.assert_allclose(forged.time, bus.time[genuine] + 0.001)
    assert set(forged.arbitration_id) == {FAST.arbitration_id}
    assert len(np.unique(forged.payload, axis=0)) == 1
    assert forged.label.all()


def test_replay_sends_again_what_three_ids_sent_ten_seconds_before():
    bus, copies = injected_by("replay")
    heard = during(bus, FAST.arbitration_id, BEGIN - 10, END - 10)
    for identifier in (CONSTANT.arbitration_id, SLOW.arbitration_id):
        heard |= during(bus, identifier, BEGIN - 10, END - 10)
    np.testing.assert_allclose(copies.time, bus.time[heard] + 10)
    np.testing.assert_array_equal(copies.payload, bus.payload[heard])
    np.testing.assert_array_equal(copies.dlc, bus.dlc[heard])
    assert copies.label.all()
    assert not bus.label.any()


def test_replay_early_in_a_capture_goes_back_to_its_begin():
    bus = regular()
    after = ATTACKS["replay"](bus, VEHICLE, 3.0, 4.0, rng())
    copies = after.take(np.arange(len(bus.time), len(after.time)))
    heard = bus.time < 1.0
    np.testing.assert_allclose(np.sort(copies.time), np.sort(bus.time[heard] + 3.0))


def test_suppress_takes_one_id_away_and_labels_the_next_frame_after_each():
    bus, rest = attacked("suppress")
    gone = during(bus, FAST.arbitration_id)
    assert len(rest.time) == len(bus.time) - gone.sum()
    assert not during(rest, FAST.arbitration_id).any()
    assert np.all(np.diff(rest.time) >= 0)
    expected = np.zeros(len(rest.time), np.uint8)
    for time in bus.time[gone]:
        expected[np.flatnonzero(rest.time >= time)[0]] = 1
    np.testing.assert_array_equal(rest.label, expected)


def test_what_is_suppressed_at_the_very_end_is_told_by_the_last_frame():
    bus = traffic((0.0, 0x200, 4), (12.5, 0x100), (13.0, 0x200, 4), (13.5, 0x100))
    _, rest = attacked("suppress", bus)
    assert rest.arbitration_id.tolist() == [0x200, 0x200]
    assert rest.label.tolist() == [0, 1]


def test_masquerade_changes_payload_and_label_of_one_id_and_nothing_else():
    bus, after = attacked("masquerade")
    victim = during(bus, FAST.arbitration_id)
    np.testing.assert_array_equal(after.label, victim.astype(np.uint8))
    for column in ("time", "arbitration_id", "dlc"):
        np.testing.assert_array_equal(getattr(after, column), getattr(bus, column))
    np.testing.assert_array_equal(after.payload[~victim], bus.payload[~victim])
    assert len(np.unique(after.payload[victim], axis=0)) == 1
    assert len(np.unique(after.payload[victim])) > 1
    assert not bus.label.any()


def test_a_unit_that_babbles_sends_its_id_out_of_rhythm():
    _, babble = injected_by("malfunction")
    assert len(babble.time) == 500
    assert np.all(np.diff(babble.time) >= 0)
    assert BEGIN <= babble.time.min() < BEGIN + 0.1
    assert END - 0.1 < babble.time.max() < END
    assert np.diff(babble.time).std() > 0.001
    assert set(babble.arbitration_id) == {FAST.arbitration_id}
    assert len(np.unique(babble.payload)) == 256
    assert set(babble.dlc) == {8}
    assert babble.label.all()


def test_frames_that_are_forged_already_are_not_attacked_again():
    bus, _ = attacked("masquerade")
    twice = ATTACKS["masquerade"](attacked("masquerade")[1], VEHICLE, BEGIN, END, rng(1))
    np.testing.assert_array_equal(twice.payload, attacked("masquerade")[1].payload)
    assert len(twice.time) == len(bus.time)


def test_where_nothing_is_worth_it_anything_is_attacked():
    vehicle = Vehicle("x", (SLOW,))
    after = ATTACKS["masquerade"](traffic((12.5, 0x300, 2)), vehicle, BEGIN, END, rng())
    assert after.label.tolist() == [1]


# Captures


def test_attacks_come_after_two_seconds_and_last_one_to_three_with_pauses_of_two_to_four():
    traffic = simulate_capture(Episode("test", "alpha", "DoS", 40), 0)
    times = traffic.time[traffic.label == 1]
    gaps = np.flatnonzero(np.diff(times) > 0.5)
    begins, ends = times[np.r_[0, gaps + 1]], times[np.r_[gaps, len(times) - 1]]
    assert len(begins) > 4
    assert 2 <= begins[0] <= 4.1
    assert np.all((ends - begins)[:-1] > 0.9)
    assert np.all(ends - begins < 3.2)
    pauses = begins[1:] - ends[:-1]
    assert np.all((pauses > 1.8) & (pauses < 4.1))


def test_captures_of_a_vehicle_share_the_vehicle_and_not_the_drive():
    first, second = (simulate_capture(Episode(split, "alpha", None, 5), 0) for split in ("train", "test"))
    assert set(first.arbitration_id) == set(second.arbitration_id)
    assert not np.array_equal(first.time[:100], second.time[:100])
    other = simulate_capture(Episode("train", "bravo", None, 5), 0)
    assert set(first.arbitration_id) != set(other.arbitration_id)
    assert not {m.arbitration_id for m in make_vehicle("alpha", 0).messages} ^ set(first.arbitration_id)
    assert not {m.arbitration_id for m in make_vehicle("bravo", 1).messages} ^ set(other.arbitration_id)
    assert not {m.arbitration_id for m in make_vehicle("alpha", 300).messages} ^ set(
        simulate_capture(Episode("train", "alpha", None, 5), 3).arbitration_id
    )


def test_the_demo_holds_what_its_splits_promise():
    by_split = {split: [e for e in DEMO if e.split == split] for split in {episode.split for episode in DEMO}}
    trained = {episode.attack for split, episodes in by_split.items() if split.startswith("train") for episode in episodes}
    assert {episode.attack for episode in by_split["train_01_attack_free"]} == {None}
    assert trained - {None} < set(ATTACKS)
    for split, episodes in by_split.items():
        assert set(dataset_entry("demo").splits) == set(by_split)
        for episode in episodes:
            assert episode.seconds >= 20
            assert episode.vehicle in (("charlie", "delta") if "unknown_vehicle" in split else ("alpha", "bravo"))
            assert stated_vehicle("demo", split, f"x-{episode.vehicle}") == episode.vehicle
            if split.startswith("test"):
                assert episode.attack in ATTACKS
                assert (episode.attack in trained) == ("known_attack" in split and "unknown_attack" not in split)
    assert [episode.attack for episode in by_split["test_05_suppress"] + by_split["test_06_masquerade"]] == [
        "suppress",
        "masquerade",
    ]
    assert {name: attack.__name__ for name, attack in ATTACKS.items()} == {name: name.lower() for name in ATTACKS}


def test_the_demo_is_written_with_the_frames_that_were_simulated(tmp_path):
    files = write_demo(tmp_path, seed=3, seconds_scale=0.1)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        f"{episode.split}/{episode.attack or 'attack-free'}-{episode.vehicle}.csv" for episode in DEMO
    ]
    for episode, file in zip(DEMO, files, strict=True):
        bus = simulate_capture(episode._replace(seconds=episode.seconds * 0.1), 3)
        lines = file.read_text().splitlines()
        assert lines[0] == "timestamp,arbitration_id,data_field,attack"
        assert len(lines) == len(bus.time) + 1
        for row, line in enumerate(lines[1:50]):
            time, identifier, data, label = line.split(",")
            assert float(time) == pytest.approx(bus.time[row] + 1.7e9, abs=1e-6)
            assert len(time.split(".")[1]) == 6
            assert identifier == f"{bus.arbitration_id[row]:03X}"
            assert data == bytes(bus.payload[row, : bus.dlc[row]]).hex().upper()
            assert label == str(bus.label[row])

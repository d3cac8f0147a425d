import numpy as np
import pytest

from kdgat_models.can.simulate import ATTACKS, DEMO, Episode, make_vehicle, simulate_capture, write_demo

CLEAN = Episode("train_01_attack_free", "alpha", None, 10)


def test_the_same_seed_gives_the_same_traffic_and_another_seed_another():
    first, second, other = (simulate_capture(CLEAN, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first.arbitration_id[:100], other.arbitration_id[:100])


def test_the_bus_carries_one_frame_at_a_time():
    traffic = simulate_capture(CLEAN, 0)
    assert np.diff(traffic.time).min() > (47 * 1.1) / 500_000 - 1e-9


def test_messages_come_at_their_periods():
    vehicle = make_vehicle("alpha", 0)
    traffic = simulate_capture(CLEAN, 0)
    for message in vehicle.messages:
        gaps = np.diff(traffic.time[traffic.arbitration_id == message.arbitration_id])
        assert np.median(gaps) == pytest.approx(message.period, rel=0.05)


def test_counters_count_and_checksums_hold():
    vehicle = make_vehicle("alpha", 0)
    traffic = simulate_capture(CLEAN, 0)
    checked = [m for m in vehicle.messages if "checksum" in m.kinds and m.period <= 0.1]
    assert checked
    for message in checked:
        payload = traffic.payload[traffic.arbitration_id == message.arbitration_id]
        place, counter = message.kinds.index("checksum"), message.kinds.index("counter")
        assert np.array_equal(payload[:, place], np.bitwise_xor.reduce(payload[:, :place], axis=1))
        assert np.mean(np.diff(payload[:, counter].astype(int)) % 16 == 1) > 0.95  # jitter may swap neighbours


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_labels_frames_and_leaves_normal_ones(attack):
    traffic = simulate_capture(Episode("test", "alpha", attack, 12), 0)
    assert 0 < traffic.label.sum() < len(traffic.label)


def test_labels_are_frame_exact_for_injection():
    traffic = simulate_capture(Episode("test", "alpha", "DoS", 12), 0)
    assert np.array_equal(traffic.label == 1, traffic.arbitration_id == 0)


def test_masquerade_keeps_the_number_and_the_times_of_frames():
    vehicle = make_vehicle("alpha", 0)
    traffic = simulate_capture(Episode("test", "alpha", "masquerade", 12), 0)
    for identifier in set(traffic.arbitration_id[traffic.label == 1].tolist()):
        period = next(m.period for m in vehicle.messages if m.arbitration_id == identifier)
        gaps = np.diff(traffic.time[traffic.arbitration_id == identifier])
        assert gaps.max() < 1.5 * period


def test_suppressed_ids_are_silent_while_labels_stand():
    vehicle = make_vehicle("bravo", 1)
    traffic = simulate_capture(Episode("test", "bravo", "suppress", 12), 0)
    longest = max(
        np.diff(traffic.time[traffic.arbitration_id == m.arbitration_id]).max() / m.period
        for m in vehicle.messages
        if m.period <= 0.05
    )
    assert longest > 15  # a second of silence at a period of at most 50 ms


def test_known_and_unknown_vehicles_share_no_training_data(tmp_path):
    trained = {episode.vehicle for episode in DEMO if episode.split.startswith("train")}
    unknown = {episode.vehicle for episode in DEMO if "unknown_vehicle" in episode.split}
    assert not trained & unknown
    files = write_demo(tmp_path, seconds_scale=0.1)
    assert len(files) == len(DEMO)
    assert files[0].read_text().startswith("timestamp,arbitration_id,data_field,attack\n")

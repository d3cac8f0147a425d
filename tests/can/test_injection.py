import numpy as np
import pytest

from config.errors import ConfigError
from kdgat_models.can import injection
from kdgat_models.can.frames import MAX_EXTENDED_ID, MAX_STANDARD_ID, Frames
from kdgat_models.can.injection import DURATION_S, FAMILIES, FORGERIES, GAP_S, LEAD_S, inject
from kdgat_models.can.simulate import Episode, simulate_capture
from kdgat_models.errors import DatasetError

# Those that only add frames; the others take frames off the bus or rewrite them.
ADDING = [family for family in FAMILIES if family not in ("masquerade", "suppress")]


@pytest.fixture(scope="module")
def clean() -> Frames:
    """A minute of an attack-free drive; nothing in it can be written to."""
    return frozen(simulated(60))


def simulated(seconds: float, vehicle: str = "alpha") -> Frames:
    traffic = simulate_capture(Episode("train_01_attack_free", vehicle, None, seconds), 0)
    ids, dlc = traffic.arbitration_id.astype(np.uint32), traffic.dlc.astype(np.uint8)
    return Frames(traffic.time + 1.7e9, ids, dlc, traffic.payload, traffic.label)


def frozen(frames: Frames) -> Frames:
    for column in frames:
        column.setflags(write=False)
    return frames


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def same(first: Frames, second: Frames) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True))


def take(frames: Frames, rows: np.ndarray) -> Frames:
    return Frames(*(column[rows] for column in frames))


def check_form(attacked: Frames, clean: Frames) -> None:
    assert [column.dtype for column in attacked] == [column.dtype for column in clean]
    assert {len(column) for column in attacked} == {attacked.size}
    assert attacked.payload.shape == (attacked.size, 8)
    assert not np.any(attacked.payload[np.arange(8) >= attacked.dlc[:, None]])
    assert np.all(np.diff(attacked.timestamp) >= 0)
    assert attacked.timestamp.min() >= clean.timestamp.min()
    assert attacked.timestamp.max() <= clean.timestamp.max()
    assert set(attacked.label.tolist()) <= {0, 1}


def missing(clean: Frames, attacked: Frames) -> np.ndarray:
    """Which frames are gone; needs a capture whose timestamps are all different."""
    assert len(np.unique(clean.timestamp)) == clean.size
    return ~np.isin(clean.timestamp, attacked.timestamp)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_writes_well_formed_attacks(clean, family, seed):
    attacked = inject(clean, rng(seed), [family])
    check_form(attacked, clean)
    assert 0 < attacked.label.sum() < attacked.size


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_attacks_and_another_seed_others(clean, family):
    first, second, other = (inject(clean, rng(seed), [family]) for seed in (1, 1, 2))
    assert same(first, second)
    assert not same(first, other)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", ADDING)
def test_what_carries_no_label_is_the_original_capture_in_its_order(clean, family, seed):
    attacked = inject(clean, rng(seed), [family])
    assert same(take(attacked, attacked.label == 0), clean)


@pytest.mark.parametrize("seed", range(8))
def test_masquerade_changes_payloads_and_labels_just_those(clean, seed):
    attacked = inject(clean, rng(seed), ["masquerade"])
    assert same(attacked._replace(payload=clean.payload, label=clean.label), clean)
    assert np.array_equal(attacked.label == 1, (attacked.payload != clean.payload).any(axis=1))


def test_a_masquerade_that_sends_what_the_victim_sends_is_not_labelled(clean):
    constant = clean._replace(payload=np.zeros_like(clean.payload), dlc=np.zeros_like(clean.dlc))
    assert same(inject(constant, rng(), ["masquerade"]), constant)


@pytest.mark.parametrize("seed", range(3))
def test_suppress_removes_frames_and_labels_the_next_one_after_each(clean, seed):
    attacked = inject(clean, rng(seed), ["suppress"])
    gone = missing(clean, attacked)
    assert gone.sum() == clean.size - attacked.size > 0
    expected = clean.label.copy()
    for row in np.flatnonzero(gone):
        expected[row + 1 + np.argmin(gone[row + 1 :])] = 1
    assert same(attacked, take(clean._replace(label=expected), ~gone))


def test_the_last_frame_tells_of_a_suppression_that_lasts_to_the_end(clean):
    alone = take(clean, (clean.arbitration_id == clean.arbitration_id[0]) & (clean.timestamp < clean.timestamp[0] + 8))
    to_the_end = 0
    for seed in range(30):
        attacked = inject(alone, rng(seed), ["suppress"])
        if missing(alone, attacked)[-2]:
            to_the_end += 1
            assert attacked.timestamp[-1] == alone.timestamp[-1]
            assert attacked.label[-1] == 1
    assert to_the_end


def test_suppress_silences_one_id_at_a_time(clean):
    attacked = inject(clean, rng(), ["suppress"])
    rows = np.flatnonzero(missing(clean, attacked))
    segment = np.cumsum(np.diff(clean.timestamp[rows], prepend=0) >= GAP_S[0])
    victims = {(where, identifier) for where, identifier in zip(segment, clean.arbitration_id[rows], strict=True)}
    assert len(victims) == len(set(segment))


def test_clean_traffic_lies_before_and_between_the_segments(clean):
    time = take(attacked := inject(clean, rng(), ["flood"]), attacked.label == 1).timestamp
    gaps = np.diff(time)
    lengths = [part[-1] - part[0] for part in np.split(time, np.flatnonzero(gaps > 0.1) + 1)]
    assert len(lengths) > 3
    assert LEAD_S[0] - 0.01 < time[0] - clean.timestamp[0] < LEAD_S[1] + 0.01
    assert gaps[gaps > 0.1].min() > GAP_S[0] - 0.01
    assert gaps.max() < GAP_S[1] + 0.05
    assert max(lengths) < DURATION_S[1] + 0.01


def test_several_families_take_turns(clean):
    attacked = inject(clean, rng(), ["new_id", "spoof"])
    forged = take(attacked, attacked.label == 1)
    known = np.isin(forged.arbitration_id, clean.arbitration_id)
    assert 0 < known.sum() < known.size


def test_single_and_flood_differ_in_their_rate(clean):
    single, flood = (inject(clean, rng(), [family]).label.sum() for family in ("single", "flood"))
    assert flood > 5 * single


def test_every_spoofed_frame_follows_a_genuine_one_of_its_id_within_4_ms(clean):
    attacked = inject(clean, rng(), ["spoof"])
    for identifier in np.unique(attacked.arbitration_id[attacked.label == 1]):
        mine = take(attacked, attacked.arbitration_id == identifier)
        genuine, forged = mine.timestamp[mine.label == 0], mine.timestamp[mine.label == 1]
        delay = forged - genuine[np.searchsorted(genuine, forged) - 1]
        assert 0.00019 < delay.min() <= delay.max() < 0.00401


@pytest.mark.parametrize("seed", range(3))
def test_replayed_frames_are_copies_from_up_to_10_s_before_and_all_labelled(clean, seed):
    attacked = inject(clean, rng(seed), ["replay"])
    assert same(take(attacked, attacked.label == 0), clean)
    copies = take(attacked, attacked.label == 1)
    for row in range(0, copies.size, 50):
        equal = (clean.arbitration_id == copies.arbitration_id[row]) & (clean.payload == copies.payload[row]).all(axis=1)
        age = copies.timestamp[row] - clean.timestamp[equal]
        assert np.any((age > 0.499) & (age < 10.001))


@pytest.mark.parametrize("family", ["new_id", "fuzzing"])
def test_new_ids_are_as_wide_as_the_captures(clean, family):
    wide = clean._replace(arbitration_id=clean.arbitration_id + np.uint32(0x18DA_0000))
    for capture, low, high in ((clean, 0, MAX_STANDARD_ID), (wide, MAX_STANDARD_ID + 1, MAX_EXTENDED_ID)):
        parts = [inject(capture, rng(seed), [family]) for seed in range(3)]
        ids = np.concatenate([part.arbitration_id[part.label == 1] for part in parts])
        new = ids[~np.isin(ids, capture.arbitration_id)]
        assert len(new) > 0
        assert low <= new.min() <= new.max() <= high
        assert family == "fuzzing" or len(new) == len(ids)


@pytest.mark.parametrize("free", [[], [0x2A5], [0, 0x7FF]])
def test_a_new_id_is_one_of_those_that_are_left(clean, free):
    left = np.setdiff1d(np.arange(0x800), free).astype(np.uint32)
    crowded = clean._replace(arbitration_id=np.resize(left, clean.size))
    parts = [inject(crowded, rng(seed), ["new_id"]) for seed in range(4)]
    injected = np.concatenate([part.arbitration_id[part.label == 1] for part in parts])
    assert set(injected.tolist()) == set(free)


def test_ids_that_are_seldom_sent_are_attacked_only_where_no_other_is_sent(clean):
    ids, counts = np.unique(clean.arbitration_id, return_counts=True)
    seldom = ids[counts < 60 * 4]
    attacked = inject(clean, rng(), ["single", "flood", "spoof"])
    assert not np.isin(attacked.arbitration_id[attacked.label == 1], seldom).any()
    quiet = take(clean, np.isin(clean.arbitration_id, seldom))
    assert inject(quiet, rng(), ["flood"]).label.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_capture_too_short_for_an_attack_comes_back_unchanged(clean, family):
    for frames in (0, 1, 2, 100):
        assert same(inject(short := take(clean, np.arange(frames)), rng(), [family]), short)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_capture_may_have_a_single_id(clean, family):
    alone = take(clean, clean.arbitration_id == clean.arbitration_id[0])
    attacked = inject(alone, rng(), [family])
    check_form(attacked, alone)
    assert attacked.label.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_capture_without_timestamps_is_attacked_all_the_same(clean, family):
    timeless = clean._replace(timestamp=np.full(clean.size, 5.0))
    attacked = inject(timeless, rng(), [family])
    check_form(attacked, timeless)
    assert set(attacked.timestamp) == {5.0}
    rows = np.flatnonzero(attacked.label)
    assert rows[0] >= 2000 * LEAD_S[0] - 1
    assert np.diff(rows).max(initial=0) < 2000 * (GAP_S[1] + DURATION_S[1]) + 1
    if family in ADDING:
        assert same(take(attacked, attacked.label == 0), timeless)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_frames_may_be_short_or_empty_and_of_changing_length(clean, family, seed):
    dlc = rng(seed).integers(0, 9, clean.size).astype(np.uint8)
    ragged = clean._replace(dlc=dlc, payload=np.where(np.arange(8) < dlc[:, None], clean.payload | np.uint8(1), np.uint8(0)))
    check_form(inject(ragged, rng(seed), [family]), ragged)
    empty = clean._replace(dlc=np.zeros_like(clean.dlc), payload=np.zeros_like(clean.payload))
    check_form(inject(empty, rng(seed), [family]), empty)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_every_forgery_makes_as_many_payloads_as_asked_for(clean, forgery):
    sent, recent = clean.payload[:20], clean.payload[19]
    before = sent.copy()
    for dlc, count in ((8, 5), (3, 1), (0, 4), (8, 0)):
        payload = forgery(sent, recent, dlc, count, rng())
        assert payload.shape == (count, 8)
        assert payload.dtype == np.uint8
    assert np.array_equal(sent, before)


def numbered(seconds: int = 60) -> Frames:
    """One ID, 100 frames a second; each payload is the number of its frame, so that it says when it was sent."""
    count = seconds * 100
    payload = np.arange(count, dtype=">u8").view(np.uint8).reshape(count, 8)
    ids, dlc, label = np.full(count, 0x10, np.uint32), np.full(count, 8, np.uint8), np.zeros(count, np.uint8)
    return Frames(np.arange(count) / 100, ids, dlc, payload, label)


@pytest.mark.parametrize("family", ["single", "flood", "spoof", "masquerade", "new_id"])
def test_payloads_are_forged_of_what_was_sent_before_the_attack_began(family, monkeypatch):
    """An attacker cannot record the future: neither does what it sends again, nor what it changes, come from there."""
    known = []

    def overheard(sent, recent, dlc, count, rng):
        known.append((sent[:, -8:].copy().view(">u8").ravel(), int(recent.copy().view(">u8")[0])))
        return np.tile(recent, (count, 1))

    monkeypatch.setattr(injection, "FORGERIES", (overheard,))
    frames = frozen(numbered())
    recording = injection._indexed(frames)
    for seed, begin in enumerate((-1.0, 0.005, 0.5, 7.25, 30.0, 55.0)):
        FAMILIES[family](recording, injection.Segment(begin, begin + 4, 0x10), rng(seed))
        sent, recent = known[-1]
        before = max(int(np.searchsorted(frames.timestamp, begin)), 1)  # of one that was not heard yet, what it sends first
        assert np.array_equal(sent, np.arange(before))  # all that was sent, and nothing that is still to come
        assert before - injection.OVERHEARD_PAYLOADS <= recent < before
    assert len(known) == 6


def test_a_victim_that_has_not_been_heard_yet_is_forged_from_its_first_frame(clean):
    ids = np.where(np.arange(clean.size) < clean.size // 2, 0x10, 0x20).astype(np.uint32)
    halves = clean._replace(arbitration_id=ids, dlc=np.full(clean.size, 8, np.uint8))
    for seed in range(5):
        check_form(inject(halves, rng(seed), ["flood", "masquerade"]), halves)


def test_order_on_the_bus_outlives_a_recorder_that_steps_back(clean):
    time = clean.timestamp.copy()
    time[1::7] -= 5e-4
    attacked = inject(clean._replace(timestamp=time), rng(), ["flood"])
    genuine = take(attacked, attacked.label == 0)
    assert same(genuine._replace(timestamp=time), clean._replace(timestamp=time))
    assert np.all(np.diff(attacked.timestamp) >= 0)
    assert np.all(genuine.timestamp - time < 1e-3)


def test_a_sleeping_bus_is_left_alone_however_long(clean):
    half = clean.size // 2
    time = clean.timestamp + np.where(np.arange(clean.size) < half, 0, 1e9)
    attacked = inject(clean._replace(timestamp=time), rng(), ["flood"])
    injected = attacked.timestamp[attacked.label == 1]
    assert np.any(injected > time[half])
    assert not np.any((injected > time[half - 1] + DURATION_S[1]) & (injected < time[half]))


def test_an_unknown_family_is_refused_with_the_known_ones(clean):
    for families, what in ((["flood", "flod"], "'flod'"), ([], "no attack family")):
        with pytest.raises(ConfigError, match=what) as caught:
            inject(clean, rng(), families)
        assert all(family in str(caught.value) for family in FAMILIES)


def test_a_capture_with_attacks_is_refused(clean):
    label = clean.label.copy()
    label[3] = 1
    with pytest.raises(DatasetError, match=r"1 of .* attack-free"):
        inject(clean._replace(label=label), rng(), ["flood"])

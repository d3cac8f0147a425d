"""Each family of synthetic attacks on a recording that was made by hand: when, how often, under which ID, with what."""

import numpy as np
import pytest

from kdgat_models.can import injection
from kdgat_models.can.frames import MAX_EXTENDED_ID, MAX_STANDARD_ID, Frames
from kdgat_models.can.injection import FAMILIES, OVERHEARD_PAYLOADS, Segment, inject

OFTEN, HALF_AS_OFTEN, SELDOM = 0x100, 0x200, 0x300
BEGIN, END = 30.0, 34.0
SEEDS = range(12)
OLD, RECENT, LATER = 0x10, 0x60, 0x99


def recording(often=OFTEN):
    """60 s; payloads of `often` are OLD, then RECENT in the last OVERHEARD_PAYLOADS frames before BEGIN, then LATER; DLC 4."""
    parts = []
    for identifier, period in ((often, 0.01), (HALF_AS_OFTEN, 0.02), (SELDOM, 1.0)):
        time = np.arange(int(60 / period)) * period + 0.001
        parts += [(moment, identifier) for moment in time]
    parts.sort()
    time, ids = (np.array(column) for column in zip(*parts, strict=True))
    payload = np.zeros((len(time), 8), np.uint8)
    mine = np.flatnonzero(ids == often)
    heard = mine[time[mine] < BEGIN]
    payload[mine, :4], payload[heard, :4], payload[heard[-OVERHEARD_PAYLOADS:], :4] = LATER, OLD, RECENT
    return Frames(time, ids.astype(np.uint32), np.full(len(time), 4, np.uint8), payload, np.zeros(len(time), np.uint8))


@pytest.fixture
def capture():
    return injection._indexed(recording())


def attack(capture, family, seed, victim=OFTEN):
    return FAMILIES[family](capture, Segment(BEGIN, END, victim), np.random.default_rng(seed))


def each(capture, family, victim=OFTEN):
    return [attack(capture, family, seed, victim) for seed in SEEDS]


def rates(changes):
    return [len(change.sent.timestamp) / (END - BEGIN) for change in changes]


def well_formed(change, dlc=4):
    sent = change.sent
    assert sent.label.all()
    assert np.all(sent.dlc == dlc)
    assert not sent.payload[:, dlc:].any()
    assert sent.timestamp.min() > BEGIN - 0.01
    assert sent.timestamp.max() < END + 0.01
    assert not len(change.forged)
    assert not len(change.silenced)


def test_a_recording_knows_the_rows_of_an_id_between_two_times(capture):
    rows = capture.rows(OFTEN, 1.001, 1.021)
    assert capture.clock[rows] == pytest.approx([1.001, 1.011])  # the end is not part of it
    assert set(capture.frames.arbitration_id[rows]) == {OFTEN}
    assert not len(capture.rows(SELDOM, 1.1, 1.9))
    assert len(capture.rows(SELDOM, -np.inf, np.inf)) == 60


def test_ids_that_come_five_times_a_second_are_frequent(capture):
    assert capture.ids.tolist() == [OFTEN, HALF_AS_OFTEN, SELDOM]
    assert capture.frequent.tolist() == [OFTEN, HALF_AS_OFTEN]
    assert capture.max_id == MAX_STANDARD_ID
    assert injection._indexed(recording(0x800)).max_id == MAX_EXTENDED_ID
    assert injection._indexed(recording(MAX_STANDARD_ID)).max_id == MAX_STANDARD_ID


def test_single_frames_come_now_and_then(capture):
    changes = each(capture, "single")
    for change in changes:
        well_formed(change)
        assert set(change.sent.arbitration_id) == {OFTEN}
        assert np.all(np.diff(change.sent.timestamp) >= 0)
    assert min(rates(changes)) < 2
    assert 5 < max(rates(changes)) <= 20
    assert all(
        len(FAMILIES["single"](capture, Segment(BEGIN, BEGIN + 0.01, OFTEN), np.random.default_rng(0)).sent.timestamp)
        for _ in SEEDS
    )


def test_a_flood_has_a_steady_rhythm_of_its_own(capture):
    changes = each(capture, "flood")
    for change in changes:
        well_formed(change)
        assert set(change.sent.arbitration_id) == {OFTEN}
        gaps = np.diff(change.sent.timestamp)
        assert 0.0004 < np.median(gaps) < 0.0105
        assert 0.02 < gaps.std() / gaps.mean() < 0.15
    assert min(rates(changes)) < 250
    assert max(rates(changes)) > 800


def test_a_spoofed_frame_follows_each_genuine_one_after_a_delay_that_is_always_the_same(capture):
    delays = set()
    for change in each(capture, "spoof"):
        well_formed(change)
        genuine = capture.clock[capture.rows(OFTEN, BEGIN, END)]
        later = change.sent.timestamp - genuine
        assert np.ptp(later) < 1e-9
        assert 0.0002 <= later[0] <= 0.004
        delays.add(round(float(later[0]), 6))
    assert len(delays) > 8


def test_fuzzing_is_about_ids_that_are_known_or_about_any(capture):
    known = 0
    for change in each(capture, "fuzzing"):
        well_formed(change, 8)
        ids = set(change.sent.arbitration_id.tolist())
        known += ids <= {OFTEN, HALF_AS_OFTEN, SELDOM}
        assert max(ids) <= MAX_STANDARD_ID
        assert np.all(np.diff(change.sent.timestamp) >= 0)
    assert 0 < known < len(SEEDS)
    assert 9 < min(rates(each(capture, "fuzzing"))) < 100
    assert 300 < max(rates(each(capture, "fuzzing"))) <= 1000


def test_a_new_id_is_none_of_the_vehicles_and_comes_in_a_steady_rhythm(capture):
    changes = each(capture, "new_id")
    for change in changes:
        (identifier,) = set(change.sent.arbitration_id.tolist())
        assert identifier not in capture.ids
        assert identifier <= MAX_STANDARD_ID
        assert not change.sent.payload[:, 4:].any()  # as long as the victim's
        assert np.all(change.sent.dlc == 8)
        assert np.ptp(np.diff(change.sent.timestamp)) < 1e-9
        assert change.sent.timestamp[0] == BEGIN
    assert len({int(change.sent.arbitration_id[0]) for change in changes}) > 8
    assert 19 < min(rates(changes)) < 100
    assert 500 < max(rates(changes)) <= 2001


def test_replay_copies_what_frequent_ids_sent_up_to_ten_seconds_before(capture):
    frames = capture.frames
    for change in each(capture, "replay"):
        sent = change.sent
        assert set(sent.arbitration_id.tolist()) == {OFTEN, HALF_AS_OFTEN}
        first = capture.rows(int(sent.arbitration_id[0]), -np.inf, BEGIN)
        shifts = sent.timestamp[0] - capture.clock[first]
        shift = shifts[(shifts > 0.499) & (shifts < 10.001)]
        assert len(shift)
        assert sent.label.all()
        assert np.all(np.diff(sent.timestamp) >= 0)
        assert BEGIN <= sent.timestamp[0] <= sent.timestamp[-1] < END
        assert len(sent.timestamp) == pytest.approx(150 * (END - BEGIN), abs=3)
        assert set(sent.payload[sent.arbitration_id == OFTEN][:, 0].tolist()) <= {OLD, RECENT, LATER}
        assert np.all(sent.dlc == frames.dlc[0])


def test_masquerade_replaces_payloads_at_the_genuine_times(capture):
    for change in each(capture, "masquerade"):
        rows = capture.rows(OFTEN, BEGIN, END)
        assert set(change.forged) <= set(rows)
        assert len(change.forged) > 0.9 * len(rows)
        assert np.all((change.payload != capture.frames.payload[change.forged]).any(axis=1))
        assert not change.payload[:, 4:].any()
        assert not change.sent.size
        assert not len(change.silenced)


def test_suppress_silences_the_victim_for_as_long_as_the_segment_is(capture):
    for victim in (OFTEN, SELDOM):
        change = attack(capture, "suppress", 0, victim)
        np.testing.assert_array_equal(change.silenced, capture.rows(victim, BEGIN, END))
        assert not change.sent.size
        assert not len(change.forged)


# Forgeries


def bits_between(payload, value):
    return np.unpackbits(payload[:, :4] ^ np.uint8(value), axis=1).sum(axis=1)


@pytest.fixture
def forge(capture, monkeypatch):
    """A function that forges 200 payloads in one of the five ways, with what the attacker had heard."""

    def forge(way, seed):
        monkeypatch.setattr(injection, "FORGERIES", (way,))
        payload, dlc = injection._forge(capture, Segment(BEGIN, END, OFTEN), 200, np.random.default_rng(seed))
        assert payload.shape == (200, 8)
        assert payload.dtype == np.uint8
        assert dlc == 4
        assert not payload[:, 4:].any()
        return payload

    return forge


def same_in_all(payload):
    return len(np.unique(payload, axis=0)) == 1


def test_the_five_ways_to_forge_are_all_drawn():
    assert [way.__name__ for way in injection.FORGERIES] == [
        "_random_each",
        "_random_once",
        "_some_bytes",
        "_recorded",
        "_some_bits",
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_forged_from_what_the_victim_is_going_to_send(forge, seed):
    """The victim sends OLD, then RECENT, and LATER once the attack has begun."""
    recorded = forge(injection._recorded, seed)
    assert OLD in recorded[:, 0]  # any of the past
    assert set(recorded[:, 0].tolist()) <= {OLD, RECENT}
    assert np.all(recorded[:, :4] == recorded[:, :1])
    bits = forge(injection._some_bits, seed)
    assert same_in_all(bits)
    assert bits_between(bits, RECENT)[0] <= 5  # of the last OVERHEARD_PAYLOADS
    places = forge(injection._some_bytes, seed)
    assert same_in_all(places)
    assert np.all((places[0, :4] == RECENT) | (places[0, :4] != LATER))


def test_random_payloads_are_drawn_for_each_frame_or_once(forge):
    assert len(np.unique(forge(injection._random_each, 0), axis=0)) == 200
    once = [forge(injection._random_once, seed) for seed in SEEDS]
    assert all(same_in_all(payload) for payload in once)
    assert len(np.unique([payload[0] for payload in once], axis=0)) == len(SEEDS)
    assert max(forge(injection._random_each, 0).max(), 0) > 250
    assert forge(injection._random_each, 0)[:, :4].min() < 5


def test_some_bits_are_one_to_five_and_anywhere(forge):
    forged = np.concatenate([forge(injection._some_bits, seed)[:1] for seed in range(60)])
    flipped = bits_between(forged, RECENT)
    assert set(flipped.tolist()) <= set(range(6))
    assert {1, 2, 3, 4, 5} <= set(flipped.tolist())
    places = np.unpackbits(forged[:, :4] ^ np.uint8(RECENT), axis=1).sum(axis=0)
    assert np.all(places > 0)  # each of the 32 bits


def test_some_bytes_are_one_to_all_of_the_dlc(forge):
    forged = np.concatenate([forge(injection._some_bytes, seed)[:1] for seed in range(60)])
    changed = (forged[:, :4] != RECENT).sum(axis=1)
    assert {1, 2, 3, 4} <= set(changed.tolist())
    assert np.all((forged[:, :4] != RECENT).any(axis=0))


def test_only_the_last_payloads_count_as_recent(capture, monkeypatch):
    """One that was heard before the last OVERHEARD_PAYLOADS is never what bits are flipped in."""
    monkeypatch.setattr(injection, "FORGERIES", (lambda sent, recent, dlc, count, rng: np.tile(recent, (count, 1)),))
    recent = {
        int(injection._forge(capture, Segment(BEGIN, END, OFTEN), 1, np.random.default_rng(seed))[0][0, 0])
        for seed in range(300)
    }
    assert recent == {RECENT}
    before = Segment(BEGIN - 0.01 * 25, END, OFTEN)  # of the last fifty, half are OLD
    drawn = [int(injection._forge(capture, before, 1, np.random.default_rng(seed))[0][0, 0]) for seed in range(300)]
    assert 100 < drawn.count(OLD) < 200


# When


def segments(capture, count=200):
    return [list(injection._segments(capture, np.random.default_rng(seed))) for seed in range(count)]


def test_segments_keep_the_stated_times(capture):
    drawn = segments(capture)
    first = np.array([found[0].begin for found in drawn])
    assert 1.0 < first.min() < 1.5
    assert 7.5 < first.max() < 8.01
    inner = [(s.begin, s.end) for found in drawn for s in found[:-1]]
    length = np.array([end - begin for begin, end in inner])
    assert 0.3 <= length.min() < 0.35
    assert 5 < length.max() <= 6.01
    assert 1.0 < np.median(length) < 1.8  # drawn log-uniformly: the geometric mean of 0.3 and 6 is 1.34
    gaps = np.array([second.begin - one.end for found in drawn for one, second in zip(found, found[1:], strict=False)])
    assert 2 <= gaps.min() < 2.2
    assert 7.8 < gaps.max() < 8.01
    assert max(found[-1].end for found in drawn) <= capture.clock[-1]
    assert all(found[-1].begin < capture.clock[-1] - 1 for found in drawn)
    assert {s.victim for found in drawn for s in found} == {OFTEN, HALF_AS_OFTEN}


def test_attacks_keep_the_span_of_the_capture_and_are_sorted():
    frames = recording()
    for family in FAMILIES:
        attacked = inject(frames, np.random.default_rng(1), [family])
        assert attacked.timestamp[0] == frames.timestamp[0]
        assert attacked.timestamp[-1] <= frames.timestamp[-1]
        assert np.all(np.diff(attacked.timestamp) >= 0)
        assert attacked.label.any()
        assert not frames.label.any()


def test_of_equal_times_genuine_frames_come_first(capture):
    frames = capture.frames
    at = int(capture.rows(OFTEN, 30.005, END)[0])  # no other ID sends just then
    sent = Frames(*(column[at : at + 1].copy() for column in frames))._replace(label=np.ones(1, np.uint8))
    changed = injection._changed(capture, [injection.Change(sent=sent)])
    assert changed.label[at : at + 2].tolist() == [0, 1]
    assert changed.size == frames.size + 1


def test_frames_that_would_come_before_the_first_or_after_the_last_are_not_sent(capture):
    frames = capture.frames
    first, last = capture.clock[0], capture.clock[-1]
    time = np.array([first - 1e-9, first, last, last + 1e-9])
    sent = injection._sent(time, 0x7, 8, np.zeros((4, 8), np.uint8))
    changed = injection._changed(capture, [injection.Change(sent=sent)])
    assert changed.timestamp[changed.label == 1].tolist() == [first, last]
    assert changed.size == frames.size + 2

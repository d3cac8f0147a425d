"""Vehicle profiles: a capture that starts from one knows the vehicle, and nobody can be taught much by one recording."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from relative_cases import simulated

from kdgat_models.can.frames import Frames
from kdgat_models.errors import ArchiveError, CheckpointError, ProfileError
from kdgat_models.files import write_json
from kdgat_models.graphs.relative import AGE, MATURITY, MAXIMUM, MISSED, RELATIVE
from kdgat_models.graphs.relative_measures import FIRST, NOVELTY
from kdgat_models.graphs.relative_state import FOLLOWED, FOLLOWS, NORMS
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.npz import npz_bytes
from kdgat_models.profiles.combining import MOST_TRUST, merged, refreshed
from kdgat_models.profiles.fit import LOOK_S, ProfileFit
from kdgat_models.profiles.profile import Profile, load_profile, save_profile

VEHICLE, OTHER = 3, 8  # seeds of the simulator: two vehicles, whose IDs differ


def drive(vehicle: int, seconds: float, day: float = 0.0) -> Frames:
    frames = simulated(vehicle, None, seconds=seconds)
    return frames._replace(timestamp=frames.timestamp + day)


def run(frames: Frames, state=None) -> GraphStream:
    stream = GraphStream("capture", RELATIVE, 50, 50, state)
    stream.made = [*stream.push(frames), *stream.finish()]
    return stream


def learnt(frames: Frames, name="normal") -> Profile:
    return Profile.of(run(frames).state, (name,))


@pytest.fixture(scope="module")
def profile():
    return learnt(drive(VEHICLE, 15))


def nodes_of(stream, identifier):
    """Features of an ID in each window that it is in."""
    return np.concatenate([g.features.nodes[g.topology.arbitration_id == identifier] for g in stream.made])


def test_a_capture_that_starts_from_a_profile_knows_every_id_from_the_first_window(profile):
    frames = drive(VEHICLE, 3, day=86_400.0)
    cold, warm = run(frames), run(frames, profile.start())
    first_cold, first_warm = cold.made[0].features.nodes, warm.made[0].features.nodes
    assert (first_cold[:, MAXIMUM + FIRST] == 1).any()
    assert not first_warm[:, MAXIMUM + FIRST].any()
    assert first_warm[:, MATURITY].mean() > first_cold[:, MATURITY].mean() + 0.3
    assert first_warm[:, AGE].min() > 0.8 > first_cold[:, AGE].max()
    assert not first_warm[:, MISSED].any()


def test_an_id_that_joins_in_the_first_second_is_new_to_a_profile_and_to_nothing_else(profile):
    frames = drive(VEHICLE, 3)
    stranger, spare = 0x7F7, frames.arbitration_id.copy()
    spare[40:200:20] = stranger
    attacked = frames._replace(arbitration_id=spare)
    cold, warm = (nodes_of(run(attacked, state), stranger)[-1, MISSED] for state in (None, profile.start()))
    assert warm > 6
    assert cold < 2


def test_time_goes_by_between_captures_without_an_id_being_late_or_early(profile):
    stream = run(drive(VEHICLE, 2, day=1e6), profile.start())
    measures = np.concatenate([graphs.features.evidence.measures for graphs in stream.made[:1]])
    assert measures[0, :, :4].max() < 1.5  # early, late, deviation, surprise: of frames that are on time
    assert measures[..., NOVELTY].max() < 8


def test_a_profile_is_not_changed_by_the_captures_that_start_from_it(profile):
    before = [profile.state.norms.copy(), profile.state.pairs.copy(), profile.state.bus.copy()]
    run(drive(VEHICLE, 2), profile.start())
    for one, other in zip(before, (profile.state.norms, profile.state.pairs, profile.state.bus), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_profile_comes_back_from_its_file_as_it_was_and_is_small(profile, tmp_path):
    file = save_profile(tmp_path / "car.profile", profile)
    found = load_profile(file)
    assert found.about == profile.about
    assert found.ids == profile.ids
    for name in NORMS.names:
        np.testing.assert_array_equal(found.state.norms[name], profile.state.norms[name])
    for one, other in zip(found.state[2:5], profile.state[2:5], strict=True):
        np.testing.assert_array_equal(one, other)
    assert file.stat().st_size < 100_000


ALTERED = {
    "an ID twice": {"ids": np.zeros_like},
    "no ID": {"ids": lambda ids: ids[:0]},
    "another type": {"period": lambda period: period.astype(np.float32)},
    "another shape": {"seen": lambda seen: seen[:, :3]},
    "not finite": {"jitter": lambda jitter: jitter * np.nan},
    "negative": {"trust": lambda trust: trust - 1e6},
    "out of order": {"born": lambda born: born[::-1] + np.arange(len(born))[::-1]},
    "no nibble": {"successor": lambda successor: successor + np.uint8(17)},
    "missing": {"hits": None},
}


@pytest.mark.parametrize("what", ALTERED)
def test_norms_that_no_traffic_can_have_are_refused(profile, tmp_path, monkeypatch, what):
    def altered(**arrays):
        for name, change in ALTERED[what].items():
            if name in arrays:
                arrays = {k: v for k, v in arrays.items() if k != name} | ({name: change(arrays[name])} if change else {})
        return npz_bytes(**arrays)

    monkeypatch.setattr("kdgat_models.profiles.profile.npz_bytes", altered)
    file = save_profile(tmp_path / "car.profile", profile)
    with pytest.raises(ArchiveError, match="was altered"):
        load_profile(file)


def test_what_is_no_profile_or_of_other_features_is_refused_with_what_to_do(profile, tmp_path):
    write_json(tmp_path / "x.profile", {})
    with pytest.raises(ArchiveError, match="kdgat learn"):
        load_profile(tmp_path / "x.profile")
    old = profile._replace(about=profile.about.model_copy(update={"feature_version": RELATIVE.version + 1}))
    with pytest.raises(ProfileError, match="Learn it again"):
        load_profile(save_profile(tmp_path / "old.profile", old))


def test_traffic_without_a_clock_makes_no_profile():
    frames = drive(VEHICLE, 3)
    with pytest.raises(ProfileError, match="tell no time"):
        learnt(frames._replace(timestamp=np.zeros(frames.size)))


def test_two_profiles_of_a_vehicle_know_together_what_each_knows(profile):
    second = learnt(drive(VEHICLE, 10), "second")
    both = merged(profile, second)
    assert set(both.ids) == set(profile.ids) | set(second.ids)
    assert (np.diff(both.state.norms["born"]) >= 0).all()
    assert both.about.frames == profile.about.frames + second.about.frames
    assert both.about.sources == ("normal", "second")
    for identifier in set(profile.ids) & set(second.ids):
        parts = [p.state.norms[p.state.slots[identifier]] for p in (profile, second, both)]
        assert parts[2]["trust"] == parts[0]["trust"] + parts[1]["trust"]
        low, high = sorted(part["period"] for part in parts[:2])
        assert low - 1e-9 <= parts[2]["period"] <= high + 1e-9
        assert (parts[2]["seen"] == parts[0]["seen"] | parts[1]["seen"]).all()
    one_way, other_way = (sorted(merged(*pair).ids) for pair in ((profile, second), (second, profile)))
    assert one_way == other_way


def test_a_profile_united_with_itself_counts_its_transitions_twice(profile):
    both = merged(profile, profile)
    assert both.ids == profile.ids
    for row in (FOLLOWED, FOLLOWS):
        np.testing.assert_allclose(both.state.pairs[row], 2 * profile.state.pairs[row])


def test_profiles_of_two_vehicles_are_not_united(profile):
    with pytest.raises(ProfileError, match="two vehicles"):
        merged(profile, learnt(drive(OTHER, 5)))


def refresh(profile, frames, **options):
    new = Profile.of(run(frames, profile.start()).state, ("new",))
    return refreshed(profile, new, **options)


def test_a_refresh_by_normal_traffic_is_learnt(profile):
    made = refresh(profile, drive(VEHICLE, 10))
    assert made.refused == []
    assert made.profile.about.sources == ("normal", "new")
    assert made.profile.state.norms["trust"].sum() > profile.state.norms["trust"].sum()
    assert (made.profile.state.norms["trust"] <= MOST_TRUST * np.maximum(profile.state.norms["trust"], 1)).all()


def test_an_attacker_cannot_teach_a_profile_an_id_a_rhythm_or_payloads(profile):
    frames = drive(VEHICLE, 20)
    rng, identifiers = np.random.default_rng(0), frames.arbitration_id.copy()
    identifiers[::97] = 0x7F7
    payload = frames.payload.copy()
    taught = int(np.bincount(frames.arbitration_id).argmax())
    mine = identifiers == taught
    payload[mine] = rng.integers(0, 256, (mine.sum(), 8))
    slow = frames._replace(arbitration_id=identifiers, payload=payload, timestamp=frames.timestamp * 1.5)
    made = refresh(profile, slow)
    assert 0x7F7 not in made.profile.ids
    assert any("0x7F7" in sentence for sentence in made.refused)
    slot = profile.state.slots[taught]
    np.testing.assert_array_equal(made.profile.state.norms["seen"][slot], profile.state.norms["seen"][slot])
    drift = made.profile.state.norms["period"][: len(profile.ids)] - profile.state.norms["period"]
    assert np.abs(drift).max() <= 0.1
    assert 0x7F7 in refresh(profile, slow, learn_ids=True).profile.ids


def test_a_silence_cannot_be_taught_by_a_refresh(profile):
    frames = drive(VEHICLE, 20)
    silenced = int(np.bincount(frames.arbitration_id).argmax())
    kept = (frames.arbitration_id != silenced) | (frames.timestamp < 5) | (frames.timestamp > 15)
    made = refresh(profile, Frames._make(column[kept] for column in frames))
    slot = profile.state.slots[silenced]
    gap, before = (p.state.norms["longest_gap"][slot] for p in (made.profile, profile))
    assert gap == 2 * before < 1.0
    assert any("longest gap" in sentence for sentence in made.refused)


def test_two_profiles_together_know_the_longer_of_the_longest_gaps(profile):
    short = learnt(drive(VEHICLE, 3))
    for pair in ((profile, short), (short, profile)):
        both = merged(*pair)
        for identifier in set(profile.ids) & set(short.ids):
            gaps = [p.state.norms["longest_gap"][p.state.slots[identifier]] for p in (profile, short, both)]
            assert gaps[2] == max(gaps[:2])


def judged(profile, frames):
    fit = ProfileFit(profile)
    return [sentence for graphs in run(frames, profile.start()).made for sentence in fit.push(graphs)]


def test_a_profile_of_another_vehicle_is_noticed_and_one_of_this_vehicle_is_not(profile):
    assert judged(profile, drive(VEHICLE, LOOK_S + 1)) == []
    (said,) = judged(profile, drive(OTHER, LOOK_S + 1))
    assert "another vehicle or bus" in said


def test_a_flood_of_forged_frames_does_not_make_it_another_vehicle(profile):
    frames = simulated(VEHICLE, "DoS", seconds=LOOK_S + 1, begin=1.0, end=LOOK_S)
    assert judged(profile, frames) == []


def test_an_old_profile_and_what_was_odd_about_it_are_said(profile):
    about = profile.about.model_copy(update={"learnt": datetime.now(UTC) - timedelta(days=400), "notes": ("x looks attacked",)})
    old, odd = ProfileFit(profile._replace(about=about)).age()
    assert "400 days ago" in old
    assert odd.endswith("x looks attacked")
    assert ProfileFit(profile).age() == []


def test_arrays_that_are_missing_are_named(profile, tmp_path, monkeypatch):
    monkeypatch.setattr("kdgat_models.profiles.profile.NORM_FIELDS", "other.npz")
    file = save_profile(tmp_path / "car.profile", profile)
    monkeypatch.undo()
    with pytest.raises((ArchiveError, CheckpointError), match=r"norms\.npz"):
        load_profile(file)

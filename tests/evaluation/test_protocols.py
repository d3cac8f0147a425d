import shutil

import numpy as np
import pytest
from conftest import tiny
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import stated_vehicle
from config.errors import ConfigError
from config.plugins import names
from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import arbitrate, drive, fuzzing, make_vehicle
from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.protocols.protocol import CaptureFacts
from kdgat_models.evaluation.protocols.registry import make_folds, protocol_named
from kdgat_models.evaluation.protocols.vehicles import assign_vehicles, regular_ids, similarity
from tasks.raw import raw_artifact
from tasks.stages.ingest import ingest
from tasks.stages.pool import build as pool
from tasks.stages.reports import capture_facts

PROTOCOLS = names("protocols")


def facts(name: str, vehicle: str, attack: str, group: str = "") -> CaptureFacts:
    dataset, role, _ = name.split("/")
    return CaptureFacts(name, dataset, role, vehicle, attack, group or name)


CAPTURES = [
    facts("hcrl/train/a", "sonata", "none", "drive"),
    facts("hcrl/train/b", "sonata", "DoS"),
    facts("hcrl/test/c", "sonata", "DoS"),
    facts("hcrl/test/d", "sonata", "fuzzing", "drive"),
    facts("road/train/e", "focus", "none"),
    facts("road/train/f", "focus", "fuzzing"),
    facts("road/test/g", "spark", "replay"),
    facts("road/test/h", "spark", "DoS"),
]
# The fields whose values have a fold each, and the captures that are tested.
TESTED = {
    "official": ("dataset", {c.name for c in CAPTURES if c.role == "test"}),
    "leave-one-vehicle-out": ("vehicle", {c.name for c in CAPTURES}),
    "leave-one-attack-out": ("attack", {c.name for c in CAPTURES if c.attack != "none"}),
    "cross-dataset": ("dataset", {c.name for c in CAPTURES}),
}


@st.composite
def many_captures(draw) -> list[CaptureFacts]:
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["hcrl", "road", "syncan"]),
                st.sampled_from(["train", "test"]),
                st.sampled_from(["sonata", "focus", "spark"]),
                st.sampled_from(["none", "DoS", "fuzzing"]),
                st.integers(0, 6),
            ),
            max_size=14,
        )
    )
    return [facts(f"{d}/{role}/{i}", vehicle, attack, f"group-{g}") for i, (d, role, vehicle, attack, g) in enumerate(rows)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(many_captures())
def test_nothing_that_is_tested_is_trained_on_not_even_a_part_of_it(protocol, captures):
    group = {capture.name: capture.group for capture in captures}
    for fold in protocol_named(protocol).folds(captures):
        train, test, left_out = set(fold.train), set(fold.test), set(fold.left_out)
        assert len(train) + len(test) + len(left_out) == len(train | test | left_out)
        assert not {group[name] for name in train} & {group[name] for name in test}
        for name, reason in fold.left_out.items():
            assert reason in {f"shares content with {other}" for other in test if group[other] == group[name]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_value_is_tested_once_with_all_its_captures(protocol):
    field, tested = TESTED[protocol]
    folds = make_folds(protocol, CAPTURES)
    assert [fold.name for fold in folds] == sorted({getattr(c, field) for c in CAPTURES if c.name in tested})
    assert sorted(name for fold in folds for name in fold.test) == sorted(tested)
    for fold in folds:
        assert {getattr(c, field) for c in CAPTURES if c.name in fold.test} == {fold.name}


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "official"])
def test_nothing_like_what_is_left_out_is_trained_on_and_all_else_is(protocol):
    field, _ = TESTED[protocol]
    for fold in make_folds(protocol, CAPTURES):
        other = {c.name for c in CAPTURES if getattr(c, field) != fold.name}
        assert set(fold.train) | set(fold.left_out) == other


def test_the_official_protocol_trains_on_the_train_splits_of_the_same_dataset():
    folds = {fold.name: fold for fold in make_folds("official", CAPTURES)}
    assert folds["hcrl"].train == ("hcrl/train/b",)
    assert folds["hcrl"].left_out == {"hcrl/train/a": "shares content with hcrl/test/d"}
    assert folds["road"].train == ("road/train/e", "road/train/f")


def test_attack_free_captures_are_trained_on_whatever_attack_is_left_out():
    folds = {fold.name: fold for fold in make_folds("leave-one-attack-out", CAPTURES)}
    assert {"hcrl/train/a", "road/train/e"} <= set(folds["DoS"].train)
    assert folds["fuzzing"].left_out == {"hcrl/train/a": "shares content with hcrl/test/d"}


def test_an_unknown_protocol_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'offical'") as caught:
        make_folds("offical", CAPTURES)
    assert all(protocol in str(caught.value) for protocol in PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("left", [[], ["hcrl/train/a"], ["hcrl/train/a", "hcrl/test/d"], ["road/train/e", "hcrl/train/a"]])
def test_captures_that_leave_no_attack_to_train_on_make_no_fold(protocol, left):
    with pytest.raises(DatasetError, match=f"{protocol} .* of {len(left)} captures"):
        make_folds(protocol, [capture for capture in CAPTURES if capture.name in left])


# Fold -> captures that are trained on, captures that are tested on; by their letters, by hand.
BY_HAND = {
    ("official", 1): {"hcrl": ("b", "cd"), "road": ("ef", "gh")},
    ("leave-one-vehicle-out", 1): {"focus": ("abcdgh", "ef"), "sonata": ("efgh", "abcd"), "spark": ("abcdef", "gh")},
    ("leave-one-attack-out", 2): {"DoS": ("adefg", "bch"), "fuzzing": ("bcegh", "df"), "replay": ("abcdefh", "g")},
    ("cross-dataset", 1): {"hcrl": ("efgh", "abcd"), "road": ("abcd", "efgh")},
}


@pytest.mark.parametrize(("protocol", "version"), BY_HAND)
def test_a_version_of_a_protocol_makes_these_folds_and_another_has_another_number(protocol, version):
    assert protocol_named(protocol).version == version
    found = {}
    for fold in make_folds(protocol, CAPTURES):
        found[fold.name] = tuple("".join(sorted(name[-1] for name in side)) for side in (fold.train, fold.test))
    assert found == BY_HAND[protocol, version]


def test_every_protocol_has_its_folds_by_hand_and_says_what_they_are():
    assert {protocol for protocol, _ in BY_HAND} == set(PROTOCOLS)
    assert all(protocol.states.startswith("Per ") for protocol in map(protocol_named, PROTOCOLS))


def test_only_where_an_attack_must_stay_unknown_are_copies_not_learnt_from():
    assert [name for name in PROTOCOLS if not protocol_named(name).copies] == ["leave-one-attack-out"]


def ids(*identifiers: int) -> frozenset[int]:
    return frozenset(identifiers)


def test_similarity_is_the_share_of_the_smaller_set():
    assert similarity(ids(1, 2, 3, 4), ids(3, 4)) == 1
    assert similarity(ids(1, 2), ids(2, 3, 4)) == 0.5
    assert similarity(ids(1), ids(2)) == similarity(ids(), ids(1)) == 0


@pytest.mark.parametrize(
    ("dataset", "split", "capture", "vehicle"),
    [
        ("demo", "train_01_attack_free", "accessory-alpha", "alpha"),
        ("demo", "test_02_unknown_vehicle_known_attack", "DoS-delta", "delta"),
        ("hcrl_ch", "test_01_DoS", "anything", "KIA Soul"),
        ("hcrl_sa", "train_02_with_attacks", "flooding-sonata", "Hyundai Sonata"),
        ("hcrl_sa", "train_02_with_attacks", "flooding-spark", "Chevrolet Spark"),
        ("set_01", "train_01_attack_free", "accessory-1", "Chevrolet Impala"),
        ("set_01", "train_02_with_attacks", "accessory-1", None),
        ("set_04", "train_01_attack_free", "attack-free-4", "Subaru Forester"),
        ("set_04", "train_01_attack_free", "attack-free-5", None),
    ],
)
def test_the_catalogue_states_the_vehicle_of_captures_whose_name_tells_it(dataset, split, capture, vehicle):
    assert stated_vehicle(dataset, split, capture) == vehicle


def test_a_pool_knows_the_stated_vehicles_the_attacks_and_the_roles_of_its_captures(demo_captures, tmp_path):
    config = tiny(**{"preprocessing.feature_schema": "reference", "augmentation.copies": 0})
    made = pool(config, tmp_path, [demo_captures], ["demo"])
    captures = capture_facts(made.path)
    assert {capture.vehicle for capture in captures} == {"alpha", "bravo", "charlie", "delta"}
    for capture in captures:
        dataset, split, name = capture.name.split("/")
        assert (dataset, capture.dataset, capture.role) == ("demo", "demo", split.split("_")[0])
        assert name.endswith(capture.vehicle)
        assert capture.attack == ("none" if name.startswith(("accessory", "attack-free", "normal")) else name.split("-")[0])
    assert made.summary["vehicles"] == ["alpha", "bravo", "charlie", "delta"]


def test_a_pool_knows_a_vehicle_that_is_stated_for_one_capture_of_one_split(demo_csv, tmp_path):
    """`accessory-1` is an Impala among the attack-free captures; a capture of another vehicle, of which nothing is stated."""
    raw = tmp_path / "raw" / "train_01_attack_free"
    raw.mkdir(parents=True)
    for vehicle, capture in (("alpha", "accessory-1"), ("bravo", "driving-1")):
        shutil.copy(demo_csv / "train_01_attack_free" / f"attack-free-{vehicle}.csv", raw / f"{capture}.csv")
    config = tiny(**{"preprocessing.feature_schema": "reference", "augmentation.copies": 0, "dataset": "set_01"})
    captures = ingest(config, tmp_path / "captures", raw_artifact("set_01", raw.parent), "error")
    vehicles = {
        facts.name: facts.vehicle for facts in capture_facts(pool(config, tmp_path / "pool", [captures], ["set_01"]).path)
    }
    assert vehicles == {
        "set_01/train_01_attack_free/accessory-1": "Chevrolet Impala",
        "set_01/train_01_attack_free/driving-1": "vehicle-1",
    }


def test_a_vehicle_is_the_stated_one_or_the_most_similar_or_a_new_one():
    captures = {
        "stated": ids(1, 2, 3, 4),
        "other": ids(3, 4, 5, 6),
        "like-stated": ids(1, 2, 3),
        "like-other": ids(5, 6, 9),
        "unlike": ids(7, 8, 9, 10, 11),
        "like-unlike": ids(8, 9),
        "silent": ids(),
    }
    stated = {"stated": "sonata", "other": "focus", "not there": "spark"}
    assert assign_vehicles(captures, stated) == {
        "stated": "sonata",
        "other": "focus",
        "like-stated": "sonata",
        "like-other": "focus",
        "unlike": "vehicle-1",
        "like-unlike": "vehicle-1",
        "silent": "vehicle-2",
    }


@pytest.mark.parametrize(("rich", "sparse"), [("a", "b"), ("b", "a"), ("c", "d"), ("y", "x"), ("one", "two"), ("two", "one")])
def test_a_sparse_capture_is_compared_with_the_rich_ones_that_it_may_be_a_part_of(rich, sparse):
    captures = {sparse: ids(5, 6, 9), rich: ids(1, 2, 3, 5, 6, 7, 8), "stated": ids(1, 2, 3, 4)}
    assert set(assign_vehicles(captures, {"stated": "sonata"}).values()) == {"sonata"}


@given(st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.integers(0, 8)), min_size=1), st.randoms())
def test_the_order_of_captures_does_not_change_their_vehicles(captures, random):
    shuffled = list(captures.items())
    random.shuffle(shuffled)
    stated = {"a": "sonata", "b": "focus"}
    vehicles = assign_vehicles(captures, stated)
    assert assign_vehicles(dict(shuffled), stated) == vehicles
    assert set(vehicles) == set(captures)
    assert all(vehicles[name] == stated[name] for name in captures if name in stated)


@pytest.mark.parametrize("labelled", [True, False])
def test_fuzzed_ids_do_not_belong_to_a_vehicle_also_where_no_label_tells(labelled):
    vehicle, rng = make_vehicle("any", 0), np.random.default_rng(0)
    bus = arbitrate(fuzzing(drive(vehicle, 20, rng), vehicle, 5, 7, rng))
    label = bus.label if labelled else np.zeros_like(bus.label)
    frames = Frames(bus.time, bus.arbitration_id.astype(np.uint32), bus.dlc.astype(np.uint8), bus.payload, label)
    assert len(np.unique(frames.arbitration_id)) > 500
    assert regular_ids(frames) == {message.arbitration_id for message in vehicle.messages}


def often(identifiers_and_counts: dict[int, int], attacks: int = 0) -> Frames:
    """Frames of each ID as often as said; the last `attacks` of them are of an attack."""
    ids = np.repeat(list(identifiers_and_counts), list(identifiers_and_counts.values())).astype(np.uint32)
    count = len(ids)
    label = (np.arange(count) >= count - attacks).astype(np.uint8)
    return Frames(np.arange(count) * 0.001, ids, np.full(count, 8, np.uint8), np.zeros((count, 8), np.uint8), label)


def test_an_id_belongs_to_a_vehicle_from_five_frames_on_and_in_a_long_capture_from_two_in_ten_thousand():
    assert regular_ids(often({1: 5, 2: 4, 3: 100})) == {1, 3}
    assert regular_ids(often({1: 99_975, 2: 20, 3: 5})) == {1, 2}  # of 100,000 frames
    assert regular_ids(often({1: 99_976, 2: 19, 3: 5})) == {1}


def test_frames_of_an_attack_do_not_count_for_an_id():
    assert regular_ids(often({1: 10, 2: 8}, attacks=4)) == {1}
    assert regular_ids(often({1: 10, 2: 8}, attacks=3)) == {1, 2}


def test_half_of_the_smaller_set_is_similar_enough_and_less_is_not():
    assert assign_vehicles({"a": ids(1, 2, 3, 4), "b": ids(3, 4, 5, 6)}, {"a": "kia"})["b"] == "kia"
    assert assign_vehicles({"a": ids(1, 2, 3, 4, 5), "b": ids(4, 5, 6, 7, 8)}, {"a": "kia"})["b"] == "vehicle-1"

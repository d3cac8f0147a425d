"""Copies of attack-free training captures with synthetic attacks: which captures have them, and what decides on them."""

import numpy as np
import pytest
from made_stores import write_capture
from relative_cases import simulated

from config.sections import AugmentationConfig, PreprocessingConfig
from kdgat_models.graphs import stream
from kdgat_models.graphs.build import NamedCapture, build_store, named
from kdgat_models.graphs.splits import GAP
from kdgat_models.graphs.store import GraphStore

CONFIG = PreprocessingConfig(window_size=50, stride=50, feature_schema="reference")


@pytest.fixture(scope="module")
def captures(tmp_path_factory) -> dict[str, NamedCapture]:
    folder = tmp_path_factory.mktemp("captures")
    frames = {"normal-a": simulated(0, None, 20), "normal-b": simulated(1, None, 20), "DoS": simulated(0, "DoS", 4)}
    frames["short"] = type(frames["DoS"])(*(column[:49] for column in frames["normal-a"]))
    written = {name: named(write_capture(made, folder / f"{name}.parquet")) for name, made in frames.items()}
    return written | {"twin": written["normal-a"]._replace(name="twin")}


@pytest.fixture
def built(captures, tmp_path):
    """A function that builds the named captures and returns the store."""
    count = iter(range(100))

    def built(names: str, training: bool = True, config: PreprocessingConfig = CONFIG, **options) -> GraphStore:
        folder = tmp_path / str(next(count))
        augmentation = AugmentationConfig(**options) if options else None
        build_store([captures[name] for name in names.split()], folder, config, augmentation, training=training)
        return GraphStore(folder)

    return built


def content(store: GraphStore, name: str) -> list[list]:
    """What the store holds of the windows of a capture."""
    entry = next(capture for capture in store.captures if capture.name == name)
    windows = slice(*entry.graphs)
    nodes = slice(store.node_offsets[entry.graphs[0]], store.node_offsets[entry.graphs[1]])
    columns = [store.start_time[windows], store.end_time[windows], store.label[windows], store.role[windows]]
    columns += [store.x[nodes], store.arbitration_id[nodes], store.frame_label[slice(*entry.frames)]]
    return [column.tolist() for column in columns]


def names(store: GraphStore) -> list[str]:
    return [capture.name for capture in store.captures]


def test_captures_without_attacks_are_copied_behind_themselves_and_only_to_train_on(built):
    store = built("normal-a DoS short normal-b", copies=2)
    assert names(store) == ["normal-a", "normal-a#1", "normal-a#2", "DoS", "short", "normal-b", "normal-b#1", "normal-b#2"]
    attacks = [capture.attack_type for capture in store.captures]
    assert attacks == ["none", "synthetic", "synthetic", "DoS", "short", "none", "synthetic", "synthetic"]
    assert names(built("normal-a", training=False, copies=2)) == ["normal-a"]
    assert names(built("normal-a")) == ["normal-a"]
    assert set(built("normal-a", training=False).role) == {GAP}


def test_the_same_capture_gets_the_same_attacks_whatever_lies_beside_it(built):
    alone, beside = built("normal-a", copies=2, seed=3), built("normal-b DoS normal-a", copies=2, seed=3)
    for name in ("normal-a", "normal-a#1", "normal-a#2"):
        assert content(alone, name) == content(beside, name)
    assert content(alone, "normal-a#1") != content(alone, "normal-a#2")
    other = built("normal-a", copies=1, seed=4)
    assert content(other, "normal-a") == content(alone, "normal-a")
    assert content(other, "normal-a#1") != content(alone, "normal-a#1")


def test_captures_of_one_content_and_two_names_get_other_attacks(built):
    store = built("normal-a twin", copies=1)
    assert content(store, "normal-a") == content(store, "twin")
    assert content(store, "normal-a#1") != content(store, "twin#1")


def test_only_the_families_that_are_asked_for_attack(built):
    size = {}
    for family in ("masquerade", "suppress", "flood"):
        store = built("normal-a", copies=1, events=False, families=[family])
        original, copy = (frames[1] - frames[0] for frames in (capture.frames for capture in store.captures))
        size[family] = int(np.sign(copy - original))
        assert store.label.any()
    assert size == {"masquerade": 0, "suppress": -1, "flood": 1}


def test_units_report_changes_at_once_in_copies_if_that_is_asked_for(built):
    """Forged payloads change no time; an event does."""
    times = {}
    for events in (True, False):
        store = built("normal-a", copies=1, events=events, families=["masquerade"])
        times[events] = [content(store, name)[0] for name in ("normal-a", "normal-a#1")]
    assert times[False][0] == times[False][1] == times[True][0]
    assert times[True][1] != times[True][0]


def test_windows_of_a_copy_have_the_role_of_the_same_time(built):
    store = built("normal-a", copies=1, events=False, families=["masquerade"])
    original, copy = (content(store, name) for name in ("normal-a", "normal-a#1"))
    assert copy[3] == original[3]
    assert len(set(original[3])) > 2


@pytest.mark.parametrize("windows", [1, 2, 7])
def test_windows_may_be_made_one_or_a_few_at_a_time(built, monkeypatch, windows):
    whole = built("normal-a DoS")
    monkeypatch.setattr(stream, "CHUNK_WINDOWS", windows)
    parts = built("normal-a DoS")
    for name in ("normal-a", "DoS"):
        assert content(parts, name) == content(whole, name)
    assert parts.capture.tolist() == whole.capture.tolist()
    assert parts.attack_type.tolist() == whole.attack_type.tolist()
    assert parts.edge_offsets.tolist() == whole.edge_offsets.tolist()


def test_windows_with_attacks_have_the_attack_of_their_capture(built):
    store = built("normal-a DoS normal-b", copies=1)
    for capture in store.captures:
        windows = slice(*capture.graphs)
        expected = np.where(store.label[windows] == 1, store.attack_types.index(capture.attack_type), -1)
        assert store.attack_type[windows].tolist() == expected.tolist()
        assert set(store.capture[windows].tolist()) == {store.captures.index(capture)}

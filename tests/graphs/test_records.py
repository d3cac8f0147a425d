"""What files of graphs say of themselves: every bound of every field, and what a model and graphs must have in common."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from made_stores import write_store
from pydantic import RootModel, ValidationError

from config.sections import IdentityConfig
from kdgat_models.errors import CheckpointError, DatasetError, SchemaError
from kdgat_models.graphs.dataset import TEST_STORES, TRAIN_STORE, VOCABULARY, GraphDataset, normal_training_vocabulary
from kdgat_models.graphs.fold import FoldRecord, read_fold
from kdgat_models.graphs.manifest import COLUMNS, CaptureEntry, ColumnShape, StoreManifest
from kdgat_models.graphs.schema import SchemaDescription
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.splits import TRAIN, VALIDATION
from kdgat_models.graphs.vocabulary import KnownIds, Vocabulary

SCHEMA = {"name": "s", "version": 1, "node_features": ["id", "a", "b"], "edge_features": ["c"], "bounded": True}
ROWS = {"graph": 5, "node": 9, "edge": 11, "frame": 50}


def manifest(**changed: object) -> dict:
    """Five windows of two captures; the second capture has two of them."""
    columns = {name: {"dtype": column.dtype, "shape": [ROWS[column.per]]} for name, column in COLUMNS.items()}
    columns["x"]["shape"], columns["edge_attr"]["shape"] = [9, 2], [11, 1]
    columns["node_offsets"]["shape"] = columns["edge_offsets"]["shape"] = [6]
    captures = [["drive", "none", [0, 3], [0, 30], 2], ["drive#1", "synthetic", [3, 5], [30, 50], 0]]
    digests = dict.fromkeys(COLUMNS, "d")
    made = {"schema": SCHEMA, "attack_types": ["none"], "captures": captures, "columns": columns, "digests": digests}
    return json.loads(json.dumps(made | changed))


def test_a_manifest_says_how_many_rows_there_are_of_what():
    read = StoreManifest.model_validate(manifest())
    assert {per: read.rows(per) for per in ROWS} == ROWS
    first, second = read.captures
    assert (first.recorded, first.original) == (True, "drive")
    assert (second.recorded, second.original) == (False, "drive")
    assert CaptureEntry("a#2#1", "none", (0, 0), (0, 0), 0).original == "a"


def test_columns_lie_on_disk_as_documented():
    """Stores that are there must stay readable."""
    graph = {"label": "u1", "role": "u1", "attack_type": "i2", "capture": "i4", "first_frame": "i8", "start_time": "f8"}
    graph |= {"end_time": "f8", "node_offsets": "i8", "edge_offsets": "i8"}
    node, edge = {"arbitration_id": "u4", "node_label": "u1", "x": "f4"}, {"source": "i2", "target": "i2", "edge_attr": "f4"}
    for per, columns in (("graph", graph), ("node", node), ("edge", edge), ("frame", {"frame_label": "u1"})):
        assert {name: column.dtype for name, column in COLUMNS.items() if column.per == per} == columns


def captures(*ranges: tuple[list[int], list[int]]) -> list:
    return [[f"c{i}", "none", graphs, frames, 0] for i, (graphs, frames) in enumerate(ranges)]


def columns(name: str, **changed: object) -> dict:
    made = manifest()["columns"]
    return made | {name: made[name] | changed}


FALSE = {
    "captures leave a gap": ({"captures": captures(([0, 2], [0, 30]), ([3, 5], [30, 50]))}, "graphs of c1 are 3 to 5, .* at 2"),
    "captures overlap": ({"captures": captures(([0, 3], [0, 30]), ([3, 5], [29, 50]))}, "frames of c1 are 29 to 50, .* at 30"),
    "runs backwards": (
        {"captures": captures(([0, 5], [0, 50]), ([5, 4], [50, 50]), ([4, 5], [50, 50]))},
        "the graphs of c1 are 5 to 4",
    ),
    "not all graphs": ({"captures": captures(([0, 4], [0, 50]))}, "they have 4 graphs, the columns 5"),
    "more frames": ({"captures": captures(([0, 5], [0, 51]))}, "they have 51 frames, the columns 50"),
    "negative tail": ({"captures": [["c", "none", [0, 5], [0, 50], -1]]}, "tail_frames|captures.0.4"),
    "no shape": ({"columns": columns("label", shape=[])}, "columns.label.shape"),
    "three dimensions": ({"columns": columns("label", shape=[5, 1, 1])}, "columns.label.shape"),
    "wide label": ({"columns": columns("label", shape=[5, 1])}, "columns.label: .* does not fit"),
    "flat features": ({"columns": columns("x", shape=[9])}, "columns.x: .* does not fit"),
    "features of another schema": ({"columns": columns("edge_attr", shape=[11, 2])}, "columns.edge_attr: .* does not fit"),
    "another type": ({"columns": columns("source", dtype="i4")}, "columns.source: .* does not fit"),
    "offsets without the end": ({"columns": columns("edge_offsets", shape=[5])}, "columns.edge_offsets: .* does not fit"),
    "more of a column": ({"columns": columns("role", more=1)}, "columns.role.more"),
    "another column": ({"columns": manifest()["columns"] | {"z": {"dtype": "u1", "shape": [1]}}}, r"\['z'\] are missing or"),
    "no digest": ({"digests": {name: "d" for name in COLUMNS if name != "x"}}, r"digests: \['x'\] are missing or unknown"),
    "version 0": ({"schema": SCHEMA | {"version": 0}}, "schema.version"),
    "no features of nodes": ({"schema": SCHEMA | {"node_features": ["id"]}}, "schema.node_features"),
    "no features of edges": ({"schema": SCHEMA | {"edge_features": []}}, "schema.edge_features"),
    "more of a schema": ({"schema": SCHEMA | {"more": 1}}, "schema.more"),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "message"), FALSE.values(), ids=FALSE)
def test_a_manifest_that_cannot_be_true_names_the_field(changed, message):
    with pytest.raises(ValidationError) as caught:
        StoreManifest.model_validate(manifest(**changed))
    found = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in caught.value.errors()]
    assert any(re.search(message, line) for line in found), found


def test_a_capture_may_be_without_windows_and_a_schema_has_up_to_a_thousand_features():
    StoreManifest.model_validate(manifest(captures=captures(([0, 0], [0, 9]), ([0, 5], [9, 50]), ([5, 5], [50, 50]))))
    names = [str(number) for number in range(1000)]
    assert SchemaDescription.model_validate(SCHEMA | {"node_features": names, "edge_features": names})
    assert SchemaDescription.model_validate(SCHEMA | {"node_features": names[:2]})
    with pytest.raises(ValidationError, match="at most 1000"):
        SchemaDescription.model_validate(SCHEMA | {"node_features": [*names, "more"]})


FOLD = {"protocol": "p", "version": 1, "store": "/s", "name": "n", "train": ["a"], "test": ["b"], "left_out": {"c": "why"}}


@pytest.mark.parametrize(
    ("record", "values"), [(FoldRecord, FOLD), (ColumnShape, {"dtype": "u1", "shape": [1]}), (SchemaDescription, SCHEMA)]
)
def test_a_record_holds_what_it_names_and_does_not_change(record, values):
    read = record.model_validate(values)
    assert json.loads(read.model_dump_json()) == values
    with pytest.raises(ValidationError, match="frozen"):
        setattr(read, next(iter(values)), next(iter(values.values())))
    with pytest.raises(ValidationError, match="more"):
        record.model_validate(values | {"more": 1})
    for name in values:
        with pytest.raises(ValidationError, match=name):
            record.model_validate({other: value for other, value in values.items() if other != name})


def test_a_manifest_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        StoreManifest.model_validate(manifest()).attack_types = ()


def test_a_fold_is_read_from_its_folder(tmp_path):
    (tmp_path / "fold.json").write_text(json.dumps(FOLD))
    assert read_fold(tmp_path) == FoldRecord(**FOLD | {"store": Path("/s")})
    with pytest.raises(CheckpointError):
        read_fold(tmp_path / "absent")


def test_ids_of_a_vocabulary_are_any_of_32_bits_and_ascend():
    ids = RootModel[KnownIds]
    assert ids.model_validate([0, 1, 2**32 - 1]).root == (0, 1, 2**32 - 1)
    for wrong in ([-1], [2**32], [1, 1], [2, 1]):
        with pytest.raises(ValidationError):
            ids.model_validate(wrong)
    assert len(ids.model_validate(range(1_000_000)).root) == 1_000_000
    with pytest.raises(ValidationError):
        ids.model_validate(range(1_000_001))


def test_the_size_of_an_embedding_table_counts_known_ids_unknown_and_buckets():
    assert Vocabulary((3, 5)).num_ids == 3
    assert Vocabulary((), 8).num_ids == 9
    known = Vocabulary((3, 5))
    seen = [
        Vocabulary.seen_through(known, IdentityConfig(encoding=encoding, buckets=8)) for encoding in ("lookup", "hash", "none")
    ]
    assert seen == [known, Vocabulary((), 8), Vocabulary(())]
    ids = np.array([[0, 3, 4], [5, 6, 2**32 - 1]], np.uint32)
    assert known.encode(ids).tolist() == [[0, 1, 0], [2, 0, 0]]
    assert known.encode(ids).dtype == Vocabulary(()).encode(ids).dtype == np.int64
    assert Vocabulary(()).encode(ids).tolist() == [[0] * 3] * 2
    # By hand: floor(ID * 0x9E3779B97F4A7C15 mod 2^64 / 2^33) mod 8, and 1, since 0 is UNKNOWN.
    golden = 0x9E3779B97F4A7C15
    by_hand = [[1 + (identifier * golden % 2**64 >> 33) % 8 for identifier in row] for row in ids.tolist()]
    assert Vocabulary((), 8).encode(ids).tolist() == by_hand


# A dataset of one window a role, made by hand.


def test_ids_are_known_from_normal_windows_that_are_learnt_from(tmp_path):
    store = write_store(tmp_path / "a", [TRAIN, VALIDATION, TRAIN, TRAIN], [0, 0, 1, 0])
    assert normal_training_vocabulary(store).ids == (0, 1, 6, 7)
    with pytest.raises(
        DatasetError, match=r"no normal training window: .*train_01_attack_free, or lower preprocessing\.window_size"
    ):
        normal_training_vocabulary(write_store(tmp_path / "b", [TRAIN, VALIDATION], [1, 0]))


@pytest.fixture
def made(tmp_path) -> GraphDataset:
    write_store(tmp_path / TRAIN_STORE, [TRAIN, TRAIN], [0, 0])
    for name in ("test_02", "test_01"):
        write_store(tmp_path / TEST_STORES / name, [0], [1])
    (tmp_path / TEST_STORES / "note.txt").write_text("not a store")
    (tmp_path / VOCABULARY).write_text("[1, 3]")
    return GraphDataset(tmp_path)


def test_test_splits_are_the_folders_in_the_order_of_their_names(made):
    assert list(made.test_stores()) == ["test_01", "test_02"]
    assert [len(store) for store in made.test_stores().values()] == [1, 1]


def test_a_dataset_is_seen_through_the_vocabulary_that_is_asked_for(made):
    graphs, other = np.array([0, 1]), Vocabulary((0, 2))
    assert made.train_data().batch(graphs).id_index.tolist() == [0, 1, 0, 2]
    assert made.seen_through(other).batch(graphs).id_index.tolist() == [1, 0, 2, 0]
    view = made.through(other)
    assert view.train_data().batch(graphs).id_index.tolist() == [1, 0, 2, 0]
    assert made.vocabulary == made.known == view.known == Vocabulary((1, 3))
    hashed = GraphDataset(made.folder, IdentityConfig(encoding="hash", buckets=4))
    assert (hashed.vocabulary, hashed.known) == (Vocabulary((), 4), Vocabulary((1, 3)))


def test_a_model_reads_graphs_of_its_schema_and_vocabulary_alone(made):
    made.require(made.schema, Vocabulary((1, 3)))
    with pytest.raises(SchemaError, match="the model knows 3 arbitration IDs, these graphs 2, and not the same ones"):
        made.require(made.schema, Vocabulary((1, 2, 3)))
    with pytest.raises(
        SchemaError, match=r"schema reference version 1, these are of relative version 1; .*feature_schema=reference, or train"
    ):
        made.require(feature_schema("reference").describe(), Vocabulary((1, 3)))


def test_a_batch_goes_to_a_device_whole(made):
    batch = made.train_data().batch(np.array([1, 0]))
    assert batch.num_graphs == 2
    moved = batch.to(torch.device("meta"))
    assert {tensor.device.type for tensor in moved} == {"meta"}
    assert [tensor.shape for tensor in moved] == [tensor.shape for tensor in batch]

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kdgat_models.errors import CheckpointError, DatasetError
from kdgat_models.graphs.dataset import VOCABULARY, GraphDataset
from kdgat_models.graphs.fold import FOLD
from kdgat_models.graphs.manifest import COLUMNS, MANIFEST, CaptureEntry
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.splits import CALIBRATION, TRAIN, VALIDATION
from kdgat_models.graphs.store import GraphData, GraphStore, StoreWriter
from kdgat_models.graphs.vocabulary import UNKNOWN, Vocabulary


def test_a_batch_is_its_graphs_one_after_the_other(dataset):
    data = dataset.train_data()
    graphs = np.array([5, 2, 900, 2])
    batch = data.batch(graphs)
    singles = [data.batch(np.array([graph])) for graph in graphs]
    shift = np.cumsum([0, *(len(single.x) for single in singles)])
    assert torch.equal(batch.x, torch.cat([single.x for single in singles]))
    assert torch.equal(batch.edge_attr, torch.cat([single.edge_attr for single in singles]))
    expected = torch.cat([single.edge_index + int(first) for single, first in zip(singles, shift, strict=False)], 1)
    assert torch.equal(batch.edge_index, expected)
    assert torch.bincount(batch.graph).tolist() == [len(single.x) for single in singles]
    assert batch.label.tolist() == dataset.train.label[graphs].tolist()
    assert torch.equal(batch.node_label, torch.cat([single.node_label for single in singles]))
    assert [int(single.node_label.any()) for single in singles] == batch.label.tolist()


def test_an_empty_batch_is_an_error(dataset):
    with pytest.raises(DatasetError):
        dataset.train_data().batch(np.array([], dtype=np.int64))


def test_columns_are_mapped_not_read_and_cannot_be_written(dataset):
    assert isinstance(dataset.train.x.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.x[0] = 0


def test_offsets_cover_all_nodes_edges_and_frames(dataset):
    store = dataset.train
    assert (store.node_offsets[0], store.node_offsets[-1]) == (0, len(store.x))
    assert (store.edge_offsets[0], store.edge_offsets[-1]) == (0, len(store.edge_attr))
    assert store.captures[-1].frames[1] == len(store.frame_label)
    assert store.captures[-1].graphs[1] == len(store)


def test_window_node_and_frame_labels_agree(dataset):
    store = dataset.train
    nodes_say = np.add.reduceat(store.node_label, store.node_offsets[:-1]) > 0
    assert np.array_equal(nodes_say, store.label == 1)
    for capture in store.captures:
        for graph in range(*capture.graphs):
            first = capture.frames[0] + store.first_frame[graph]
            assert store.frame_label[first : first + 100].any() == bool(store.label[graph])


def test_the_attack_type_is_the_captures_in_attack_windows_and_minus_1_in_others(dataset):
    store = dataset.train
    assert np.array_equal(store.attack_type == -1, store.label == 0)
    for capture in store.captures:
        window_types = set(store.attack_type[slice(*capture.graphs)].tolist()) - {-1}
        assert {store.attack_types[index] for index in window_types} <= {capture.attack_type}


def test_every_frame_is_in_a_window_or_counted_as_tail(dataset):
    for capture in dataset.train.captures:
        windows = capture.graphs[1] - capture.graphs[0]
        assert windows * 100 + capture.tail_frames == capture.frames[1] - capture.frames[0]


def test_the_vocabulary_holds_ids_of_normal_training_windows_only(dataset):
    store = dataset.train
    normal = np.repeat((store.role == TRAIN) & (store.label == 0), np.diff(store.node_offsets))
    assert set(dataset.known.ids) == set(store.arbitration_id[normal].tolist())
    assert 0 not in dataset.known.ids  # the DoS floods ID 0


def test_a_model_that_looks_ids_up_sees_the_known_ones_and_one_without_sees_none(dataset, published_dataset):
    assert published_dataset.vocabulary == published_dataset.known
    assert dataset.vocabulary == Vocabulary(())
    graphs = np.arange(20)
    assert set(dataset.train_data().batch(graphs).id_index.tolist()) == {UNKNOWN}
    assert len(set(published_dataset.train_data().batch(graphs).id_index.tolist())) > 5


def test_one_index_stands_for_all_other_ids():
    vocabulary = Vocabulary.of([0x300, 0x100, 0x300])
    encoded = vocabulary.encode(np.array([0x100, 0x300, 0x200, 0x7FF], np.uint32))
    assert encoded.tolist() == [1, 2, UNKNOWN, UNKNOWN]
    assert vocabulary.num_ids == 3
    assert Vocabulary.of([]).encode(np.array([1], np.uint32)).tolist() == [UNKNOWN]


def test_every_role_has_windows_of_both_labels(dataset):
    for role in (TRAIN, VALIDATION, CALIBRATION):
        assert set(dataset.train.label[dataset.train.role == role].tolist()) == {0, 1}


def test_windows_are_asked_for_by_role_and_label(dataset):
    store = dataset.train
    for role in (TRAIN, VALIDATION, CALIBRATION):
        for label in (None, 0, 1):
            expected = [i for i in range(len(store)) if store.role[i] == role and label in (None, store.label[i])]
            assert store.windows(role, label).tolist() == expected


def test_a_restricted_store_has_roles_only_in_the_captures_that_are_named(dataset):
    store = dataset.train
    names = [capture.name for capture in store.captures]
    view = store.restricted(names[:2])
    inside = np.isin(store.capture, [0, 1])
    assert np.array_equal(view.role[inside], store.role[inside])
    assert not view.role[~inside].any()
    assert store.role[~inside].any(), "the store itself is as it was"
    assert np.array_equal(view.x, store.x)
    assert store.windows_of(names[1:3]).tolist() == list(range(store.captures[1].graphs[0], store.captures[2].graphs[1]))


@pytest.fixture
def store_folder(demo_graphs, tmp_path):
    """A copy of a small store, to be altered."""
    return Path(shutil.copytree(demo_graphs.path / "test" / "test_01_known_vehicle_known_attack", tmp_path / "store"))


@pytest.mark.parametrize("content", [b"short", b""])
def test_a_torn_column_is_an_error(store_folder, content):
    (store_folder / "x.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.bin is torn"):
        GraphStore(store_folder)


def change(folder, column, row, value):
    values = np.memmap(folder / f"{column}.bin", COLUMNS[column].dtype, "r+")
    values[row] = value
    values.flush()


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("node_offsets", 0, 1),
        ("node_offsets", 3, 0),
        ("node_offsets", 1, 0),  # a window without nodes
        ("node_offsets", -1, 2**40),
        ("edge_offsets", 3, -5),
        ("edge_offsets", -1, 7),
        ("capture", 2, 9),
        ("capture", 2, -1),
        ("label", 1, 2),
        ("role", 1, 4),
        ("attack_type", 1, 99),
        ("attack_type", 1, -2),
        ("first_frame", 1, -1),
        ("first_frame", 1, 2**50),
        ("start_time", 1, np.nan),
        ("end_time", 1, np.inf),
    ],
)
def test_a_value_that_a_column_of_graphs_cannot_have_is_found_at_opening(store_folder, column, row, value):
    change(store_folder, column, row, value)
    with pytest.raises(CheckpointError, match=rf"{column}\.bin has values"):
        GraphStore(store_folder)


@pytest.mark.parametrize(
    ("column", "value"), [("source", 500), ("target", -1), ("x", np.nan), ("edge_attr", np.inf), ("node_label", 2)]
)
def test_a_value_that_a_node_or_edge_cannot_have_is_found_when_it_is_read(store_folder, column, value):
    change(store_folder, column, 0, value)
    data = GraphData(GraphStore(store_folder), Vocabulary(()))
    assert len(data.batch(np.array([5])).x)
    with pytest.raises(CheckpointError, match=rf"{column}\.bin has values"):
        data.batch(np.array([5, 0]))


def first_capture(field, value):
    def alter(manifest):
        manifest["captures"][0][field] = value

    return alter


def column(name, field, value):
    def alter(manifest):
        manifest["columns"][name][field] = value

    return alter


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (first_capture("graphs", [0, 10**9]), "captures"),
        (first_capture("frames", [5, 10]), "captures: the frames"),
        (first_capture("graphs", [-1, 5]), r"captures\.0\.graphs"),
        (first_capture("name", 7), r"captures\.0\.name"),
        (column("x", "dtype", "f8"), r"columns\.x"),
        (column("x", "shape", [1]), r"columns\.x"),
        (column("label", "shape", [10**15]), "columns"),
        (column("label", "shape", [-1]), r"columns\.label\.shape"),
        (lambda manifest: manifest["columns"].pop("role"), "role"),
        (lambda manifest: manifest["digests"].pop("role"), "role"),
        (lambda manifest: manifest["captures"].clear(), "captures: they have 0 graphs"),
        (lambda manifest: manifest.pop("schema"), "schema: Field required"),
        (lambda manifest: manifest["schema"].update(node_features=["id"] * 2), r"columns\.x"),
        (lambda manifest: manifest.update(more=1), "more"),
    ],
)
def test_a_manifest_that_cannot_be_true_is_an_error_that_names_file_and_field(store_folder, alter, message):
    manifest = json.loads((store_folder / MANIFEST).read_text())
    alter(manifest)
    (store_folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=message) as caught:
        GraphStore(store_folder)
    assert MANIFEST in str(caught.value)


def test_a_store_without_any_graph_can_be_opened(tmp_path):
    StoreWriter(tmp_path, feature_schema("relative")).finish()
    assert len(GraphStore(tmp_path)) == 0


def written(folder, schema="relative", **changed):
    """The digest of a store with one window of two nodes and one edge, of which columns are changed."""
    widths = feature_schema(schema).continuous, len(feature_schema(schema).edge_features)
    columns = {
        "label": [1],
        "role": [1],
        "attack_type": [0],
        "capture": [0],
        "first_frame": [0],
        "start_time": [0.0],
        "end_time": [1.0],
        "node_offsets": [0],
        "edge_offsets": [0],
        "arbitration_id": [7, 9],
        "node_label": [0, 1],
        "x": np.zeros((2, widths[0])),
        "source": [0],
        "target": [1],
        "edge_attr": np.zeros((1, widths[1])),
        "frame_label": [0, 0, 1],
    }
    writer = StoreWriter(folder, feature_schema(schema))
    writer.attack_index("fuzzing")
    writer.captures.append(changed.pop("entry", CaptureEntry("drive", "fuzzing", (0, 1), (0, 3), 1)))
    writer.append(**{**columns, **changed})
    return writer.finish()


def test_the_digest_of_a_store_depends_on_every_column_on_the_schema_and_on_the_captures(tmp_path):
    same = {written(tmp_path / "a"), written(tmp_path / "b")}
    assert len(same) == 1
    others = [written(tmp_path / name, **{name: np.full_like(value, 1) + value}) for name, value in one_more().items()]
    others.append(written(tmp_path / "schema", schema="reference"))
    others.append(written(tmp_path / "entry", entry=CaptureEntry("other", "fuzzing", (0, 1), (0, 3), 1)))
    assert len({*same, *others}) == len(COLUMNS) + 3


def one_more():
    """Columns of `written` to which one is added; only `finish` writes the last offset."""
    relative = feature_schema("relative")
    wide = {"x": (2, relative.continuous), "edge_attr": (1, len(relative.edge_features))}
    rows = {"graph": 1, "node": 2, "edge": 1, "frame": 3}
    return {name: np.zeros(wide.get(name, rows[column.per])) + 4 for name, column in COLUMNS.items()}


def test_a_folder_without_graphs_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="build them again"):
        GraphDataset(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [(FOLD, '{"store": 3}'), (FOLD, "[]"), (VOCABULARY, '["a"]'), (VOCABULARY, "[2, 1]"), (VOCABULARY, "{}")],
)
def test_a_fold_or_vocabulary_that_does_not_fit_is_an_error_that_names_the_file(demo_graphs, tmp_path, file, content):
    (tmp_path / "train").symlink_to(demo_graphs.path / "train")
    (tmp_path / file).write_text(content)
    with pytest.raises(CheckpointError, match=file):
        GraphDataset(tmp_path)

"""A store at the borders of what its columns can have, and what is left of one that was not finished."""

from pathlib import Path

import numpy as np
import pytest
from made_stores import write_store

from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.manifest import COLUMNS, MANIFEST
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.splits import CALIBRATION, GAP, TRAIN
from kdgat_models.graphs.store import GraphData, GraphStore, StoreWriter
from kdgat_models.graphs.vocabulary import Vocabulary

WINDOWS = 3  # of two nodes and one edge each; twelve frames, two types of attacks


@pytest.fixture
def folder(tmp_path) -> Path:
    write_store(tmp_path, [GAP, TRAIN, CALIBRATION], [0, 1, 1])
    return tmp_path


def change(folder: Path, column: str, row: int, value: float) -> None:
    values = np.memmap(folder / f"{column}.bin", COLUMNS[column].dtype, "r+")
    values[row] = value
    values.flush()


def read_all(folder: Path):
    return GraphData(GraphStore(folder), Vocabulary(())).batch(np.arange(WINDOWS))


HIGHEST = {
    "role": (CALIBRATION, CALIBRATION + 1),
    "label": (1, 2),
    "attack_type": (1, 2),
    "first_frame": (11, 12),
    "node_label": (1, 2),
    "source": (1, 2),
    "target": (1, 2),
}
LOWEST = {"attack_type": (-1, -2), "first_frame": (0, -1), "source": (0, -1), "target": (0, -1)}
BORDERS = [(column, *values) for borders in (HIGHEST, LOWEST) for column, values in borders.items()]


@pytest.mark.parametrize(("column", "last", "beyond"), BORDERS)
@pytest.mark.parametrize("row", [0, -1])
def test_every_value_up_to_the_border_is_read_and_none_beyond(folder, column, last, beyond, row):
    change(folder, column, row, last)
    read_all(folder)
    change(folder, column, row, beyond)
    with pytest.raises(CheckpointError, match=rf"{column}\.bin has values that no {column} can have: .*build the graphs again"):
        read_all(folder)


def test_windows_have_nodes_and_may_be_without_edges(folder):
    change(folder, "edge_offsets", 1, 0)
    assert len(GraphStore(folder)) == WINDOWS
    change(folder, "node_offsets", 1, 0)
    with pytest.raises(CheckpointError, match=r"node_offsets\.bin has values"):
        GraphStore(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["x", "edge_attr", "start_time", "end_time"])
def test_what_is_not_finite_is_found_in_the_last_row_too(folder, column, value):
    change(folder, column, -1, value)
    with pytest.raises(CheckpointError, match=rf"{column}\.bin has values"):
        read_all(folder)


def test_a_column_that_is_too_short_too_long_or_gone_is_named_with_its_size(folder):
    expected = WINDOWS * 8
    for content in (b"\0" * (expected - 1), b"\0" * (expected + 1), b"", None):
        (folder / "start_time.bin").unlink()
        if content is not None:
            (folder / "start_time.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"start_time\.bin is torn: expected {expected} bytes; delete .* and build"):
            GraphStore(folder)
        (folder / "start_time.bin").touch()


@pytest.mark.parametrize("path", ["absent", "a\0b", "x" * 5000])
def test_a_folder_without_a_store_is_an_error_whatever_its_name(tmp_path, path):
    with pytest.raises(CheckpointError, match=r"no graphs in .*: it has no manifest\.json; build them again"):
        GraphStore(tmp_path / path)


def test_a_store_that_is_not_finished_leaves_nothing_not_even_of_an_earlier_one(folder):
    schema = feature_schema("relative")
    with StoreWriter(folder, schema):
        assert not (folder / MANIFEST).exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".") or path.name == MANIFEST]
    with StoreWriter(folder / "new" / "store", schema) as writer:
        writer.append(frame_label=np.zeros(3))
        assert (writer.rows("frame_label"), writer.rows("label")) == (3, 0)
    assert not list((folder / "new" / "store").iterdir())


def test_the_same_content_has_the_same_digest_and_columns_are_written_in_their_types(tmp_path):
    stores = [write_store(tmp_path / name, [TRAIN, GAP], [0, 1]) for name in ("a", "b")]
    contents = [{path.name: path.read_bytes() for path in store.folder.iterdir()} for store in stores]
    assert contents[0] == contents[1]
    assert set(contents[0]) == {MANIFEST, *(f"{name}.bin" for name in COLUMNS)}
    for name, column in COLUMNS.items():
        assert getattr(stores[0], name).dtype == np.dtype(column.dtype), name
    assert stores[0].arbitration_id.tolist() == [0, 1, 2, 3]
    assert stores[0].node_offsets.tolist() == [0, 2, 4]
    assert stores[0].edge_offsets.tolist() == [0, 1, 2]
    assert stores[0].attack_types == ["none", "DoS"]


def test_roles_are_taken_from_captures_that_are_not_learnt_from(folder):
    store = GraphStore(folder)
    assert store.restricted([]).role.tolist() == [GAP] * WINDOWS
    assert store.restricted(["drive"]).role.tolist() == store.role.tolist()
    assert store.restricted(["drive"]).role.dtype == np.uint8
    assert store.windows_of(["other"]).tolist() == []
    assert store.windows_of(["other", "drive"]).tolist() == [0, 1, 2]

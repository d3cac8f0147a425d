import numpy as np
import pytest
import torch

from kdgat_models.errors import CheckpointError, DatasetError
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION, TRAIN, VALIDATION
from kdgat_models.graphs.store import GraphStore
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


def test_roles_share_no_window_and_all_have_both_labels(dataset):
    windows = {role: set(dataset.train.windows(role).tolist()) for role in (TRAIN, VALIDATION, CALIBRATION)}
    assert not windows[TRAIN] & windows[VALIDATION]
    assert not windows[TRAIN] & windows[CALIBRATION]
    assert not windows[VALIDATION] & windows[CALIBRATION]
    for role in windows:
        assert set(dataset.train.label[list(windows[role])].tolist()) == {0, 1}


def test_a_torn_column_is_an_error(demo_graphs, tmp_path):
    import shutil

    folder = tmp_path / "train"
    shutil.copytree(demo_graphs.path / "train", folder)
    (folder / "x.bin").write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"x\.bin is torn"):
        GraphStore(folder)


def test_a_folder_without_graphs_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="build them again"):
        GraphDataset(tmp_path)

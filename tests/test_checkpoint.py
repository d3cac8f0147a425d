import json

import pytest
import torch
from conftest import tiny

from kdgat_models.checkpoint import META, TENSORS, Checkpoint, load_checkpoint, save_checkpoint
from kdgat_models.errors import CheckpointError
from kdgat_models.registry import build, restore


@pytest.fixture
def checkpoint(dataset):
    torch.manual_seed(0)
    config = tiny("gat")
    network = build(config, dataset.vocabulary.num_ids, dataset.schema)
    return Checkpoint(config, dataset.schema, dataset.vocabulary, {"f1": 0.25}, network.state_dict(), {"best_epoch": 3})


def test_a_checkpoint_survives_the_round_trip(checkpoint, tmp_path, dataset):
    save_checkpoint(tmp_path, checkpoint)
    loaded = load_checkpoint(tmp_path, "gat")
    assert loaded._replace(tensors={}) == checkpoint._replace(tensors={})
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in checkpoint.tensors.items())
    assert loaded.threshold == 0.25
    restored = restore(loaded).state_dict()
    assert all(torch.equal(restored[name], tensor) for name, tensor in checkpoint.tensors.items())


def test_the_digest_is_of_the_content(checkpoint, tmp_path):
    first, second = (save_checkpoint(tmp_path / name, checkpoint) for name in "ab")
    other = save_checkpoint(tmp_path / "c", checkpoint._replace(thresholds={"f1": 0.3}))
    assert first == second != other


def test_nothing_is_pickled(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([META, TENSORS])
    assert set(json.loads((tmp_path / META).read_text())) >= {"config", "schema", "vocabulary", "thresholds", "provenance"}


def test_another_model_type_is_refused(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match="holds a gat, not a vgae"):
        load_checkpoint(tmp_path, "vgae")


@pytest.mark.parametrize("file", [META, TENSORS])
def test_a_torn_checkpoint_is_an_error(checkpoint, tmp_path, file):
    save_checkpoint(tmp_path, checkpoint)
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path)

import json
import pickle
from pathlib import Path

import pytest
import torch
from legacy_modules import LegacyGat, LegacyQNetwork

from kdgat_models.errors import CheckpointError
from kdgat_models.importing.pickles import read_state
from kdgat_models.importing.vocabulary import read_vocabulary


class Runs:
    """Unpickled, it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("how", [torch.save, lambda value, file: Path(file).write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, how):
    mark = tmp_path / "it ran"
    how({"id_embedding.weight": torch.zeros(2, 2), "extra": Runs(mark)}, tmp_path / "gat.pth")
    with pytest.raises(CheckpointError, match="refused: it holds more than tensors"):
        read_state(tmp_path / "gat.pth")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))
    assert mark.exists(), "the file would have run its code, had it been unpickled"


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "gat.pth")
    with pytest.raises(CheckpointError, match=r"torch.save\(model.state_dict\(\), FILE\)"):
        read_state(tmp_path / "gat.pth")


@pytest.mark.parametrize("legacy_zip", [True, False])
def test_a_state_dict_is_read_as_it_was_saved(tmp_path, legacy_zip):
    state = LegacyGat().state_dict()
    torch.save(state, tmp_path / "gat.pth", _use_new_zipfile_serialization=legacy_zip)
    read = read_state(tmp_path / "gat.pth")
    assert list(read) == list(state)
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_the_tensors_of_an_agent_are_called_by_their_network(tmp_path):
    network = LegacyQNetwork()
    torch.save({"q_network": network.state_dict(), "target_network": network.state_dict()}, tmp_path / "dqn.pth")
    assert "q_network.net.0.weight" in read_state(tmp_path / "dqn.pth")
    torch.save({"q_network": network.state_dict(), "optimizer": {}, "target_network": 3}, tmp_path / "dqn.pth")
    with pytest.raises(CheckpointError, match="unknown: optimizer; not a state dict: target_network"):
        read_state(tmp_path / "dqn.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, no state dict"),
        ({}, "holds a dict, no state dict"),
        ({"a": torch.zeros(1), "epoch": 3}, r"what is no tensor: epoch \(int\)"),
        ({"a": torch.tensor([1.0, float("nan")])}, "not finite in a"),
        ({"a": torch.zeros(2).to_sparse()}, "sparse"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        read_state(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04torn"])
def test_a_file_that_torch_did_not_write_is_one_message(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        read_state(tmp_path / "x.pth")


def vocabulary(tmp_path, content):
    (tmp_path / "ids.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_vocabulary(tmp_path / "ids.json")


def test_a_list_of_ids_is_a_vocabulary(tmp_path):
    known = vocabulary(tmp_path, ["0x1A0", 5, "416", 2][:2])
    assert known.vocabulary.ids == (5, 0x1A0)
    assert known.rows is None


@pytest.mark.parametrize("content", [{"0x1A0": 0, "5": 2, "OOV": 1}, {"416": 0, "5": 2}])
def test_a_mapping_says_which_row_is_whose(tmp_path, content):
    known = vocabulary(tmp_path, content)
    assert known.vocabulary.ids == (5, 0x1A0)
    assert known.rows == (1, 2, 0)


@pytest.mark.parametrize(
    "content",
    ["{", 3, [], [5, 5], ["five"], [-1], [1 << 29], [True], {"5": 0, "6": 0}, {"5": 3, "6": 4}, {"5": "a"}, {"OOV": 0}],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, content):
    with pytest.raises(CheckpointError, match=r"ids\.json"):
        vocabulary(tmp_path, content)

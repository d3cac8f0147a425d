import pickle
from pathlib import Path

import pytest
import torch
from legacy_modules import LegacyGat, LegacyQNetwork

from kdgat_models.errors import CheckpointError
from kdgat_models.importing.pickles import read_state


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
    torch.save({"q_network": network.state_dict()}, tmp_path / "dqn.pth")
    assert list(read_state(tmp_path / "dqn.pth")) == [f"q_network.{name}" for name in network.state_dict()]
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
        ({"a": torch.zeros(1), "b": torch.zeros(2, dtype=torch.complex64)}, "complex tensors cannot be imported: b$"),
        ({"a": "x", "b": None, "c": torch.zeros(1)}, r"what is no tensor: a \(str\), b \(NoneType\)\. Save"),
        ({"a": torch.tensor([float("inf")]), "b": torch.zeros(1), "c": -torch.tensor([torch.inf])}, "not finite in a, c$"),
        ({"q_network": 3}, "unknown: none; not a state dict: q_network$"),
        ({"q_network": {}, "epoch": 3}, "unknown: epoch; not a state dict: none$"),
        ({"q_network": {}}, "holds a dict, no state dict"),
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


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    "unfit", [torch.Tensor.to_sparse_csr, lambda tensor: torch.quantize_per_tensor(tensor, 1.0, 0, torch.quint8)]
)
def test_tensors_in_compressed_rows_or_in_steps_are_refused(tmp_path, unfit):
    torch.save({"a": unfit(torch.eye(2)), "b": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"sparse, quantised or complex tensors cannot be imported: a$"):
        read_state(tmp_path / "x.pth")


def test_code_does_not_run_where_the_environment_asks_torch_to_trust_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"extra": Runs(tmp_path / "it ran")}, tmp_path / "gat.pth")
    with pytest.raises(CheckpointError, match="refused"):
        read_state(tmp_path / "gat.pth")
    assert not (tmp_path / "it ran").exists()


def test_a_state_that_was_saved_on_a_gpu_is_read_without_one(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
        torch.save({"a": torch.ones(2)}, tmp_path / "gat.pth")
    assert read_state(tmp_path / "gat.pth")["a"].tolist() == [1, 1]


def test_parameters_become_tensors_and_names_become_texts(tmp_path):
    torch.save({"a": torch.nn.Parameter(torch.ones(1)), 3: torch.zeros(1)}, tmp_path / "gat.pth")
    state = read_state(tmp_path / "gat.pth")
    assert list(state) == ["a", "3"]
    assert not state["a"].requires_grad

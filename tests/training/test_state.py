"""The state of training in its file: what of it is checked before anything is restored, and that all of it comes back."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from config.sections import TrainingConfig
from kdgat_models.errors import ResumeError
from kdgat_models.training import state
from kdgat_models.training.loop import fit
from kdgat_models.training.objective import Objective
from kdgat_models.training.state import LoopState, load_state, save_state

CONFIG = TrainingConfig(lr=0.1, schedule="constant", max_epochs=3, patience=9)


class Scripted(Objective[nn.Linear]):
    """A line through two points, validated by given values; `counted` is state beside the network's."""

    def __init__(self, values=(3.0, 1.0, 2.0, 4.0, 5.0)):
        super().__init__()
        torch.manual_seed(0)
        self.network, self.values, self.epoch = nn.Linear(2, 1), values, 0
        self.register_buffer("counted", torch.zeros((), dtype=torch.int64))

    def batches(self, epoch, draws):
        self.epoch = epoch
        yield torch.rand(4, 2, generator=draws.torch)

    def loss(self, batch, draws):
        return {"total": (self.network(batch) ** 2).mean()}

    def after_step(self):
        self.counted += 1

    def validate(self):
        return {"value": self.values[self.epoch]}


def adam(objective):
    return torch.optim.AdamW(objective.parameters(), lr=0.1)


@pytest.fixture
def file(tmp_path):
    """The state after three epochs, of which the second was the best."""
    fit(Scripted(), CONFIG, 0, tmp_path / "state.safetensors")
    return tmp_path / "state.safetensors"


def test_the_best_weights_of_before_a_kill_are_those_that_are_left_after_it(file):
    undisturbed, resumed = Scripted(), Scripted()
    longer = CONFIG.model_copy(update={"max_epochs": 5})
    expected, found = fit(undisturbed, longer, 0), fit(resumed, longer, 0, file)
    assert (found.best_epoch, found.best_value) == (expected.best_epoch, expected.best_value) == (2, 1.0)
    assert [report.epoch for report in found.history] == [1, 2, 3, 4, 5]
    assert torch.equal(resumed.network.weight, undisturbed.network.weight)
    assert int(resumed.counted) == 5
    second = Scripted()
    fit(second, CONFIG.model_copy(update={"max_epochs": 2}), 0)
    assert torch.equal(resumed.network.weight, second.network.weight)


def test_all_of_a_state_comes_back_from_its_file(tmp_path):
    made, path = Scripted(), tmp_path / "state"
    optimizer = adam(made)
    made.loss(torch.ones(1, 2), None)["total"].backward()
    optimizer.step()
    made.after_step()
    result = fit(Scripted(), CONFIG, 0, tmp_path / "other")
    before = LoopState(2, 1.0, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, result.history)
    save_state(path, before, made, optimizer)
    other = Scripted()
    nn.init.zeros_(other.network.weight)
    moments = adam(other)
    after = load_state(path, other, moments)
    assert after._replace(best_weights={}) == before._replace(best_weights={})
    assert {name: tensor.tolist() for name, tensor in after.best_weights.items()} == {"weight": [[1, 1]], "bias": [0]}
    assert after.epoch == 3
    assert torch.equal(other.network.weight, made.network.weight)
    assert int(other.counted) == 1
    for mine, theirs in zip(optimizer.state_dict()["state"].values(), moments.state_dict()["state"].values(), strict=True):
        assert mine.keys() == theirs.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_without_a_file_training_begins_at_the_beginning(tmp_path):
    objective = Scripted()
    assert load_state(tmp_path / "none", objective, adam(objective)) == LoopState(0, float("inf"), {}, ())


def contents(file):
    with safe_open(file, "pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata()  # noqa: SIM118


def sealed(file, tensors, loop):
    """Written anew with the digest that belongs to it: the digest finds nothing wrong."""
    save_file(tensors, file, {"loop": loop, "digest": state._digest(loop, tensors)})


def refused(file, message):
    objective = Scripted()
    optimizer = adam(objective)
    before = objective.network.weight.clone()
    with pytest.raises(ResumeError, match=message) as caught:
        load_state(file, objective, optimizer)
    assert str(caught.value).startswith(f"{file} cannot be resumed from: ")
    assert str(caught.value).endswith("Delete it to train from the beginning")
    assert torch.equal(objective.network.weight, before)
    assert not optimizer.state_dict()["state"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("best_epoch", 0, "best_epoch: 0 is not among the 3 epochs"),
        ("best_epoch", 4, "best_epoch: 4 is not among the 3 epochs"),
        ("best_epoch", "2", "valid integer"),
        ("best_value", float("nan"), "finite number"),
        ("history", [], "best_epoch: 2 is not among the 0 epochs"),
        ("surplus", 1, "Extra inputs are not permitted"),
    ],
)
def test_numbers_that_cannot_be_are_refused_though_their_digest_is_right(file, field, value, message):
    tensors, metadata = contents(file)
    sealed(file, tensors, json.dumps(json.loads(metadata["loop"]) | {field: value}))
    refused(file, message)


@pytest.mark.parametrize("epochs", [[2, 3, 4], [0, 1, 2], [1, 3, 2], [1, 1, 2]])
def test_epochs_that_do_not_follow_each_other_are_refused(file, epochs):
    tensors, metadata = contents(file)
    loop = json.loads(metadata["loop"])
    for report, epoch in zip(loop["history"], epochs, strict=True):
        report["epoch"] = epoch
    sealed(file, tensors, json.dumps(loop))
    refused(file, "history: the epochs do not follow each other")


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("optimizer/0/exp_avg", torch.zeros(2, 1), "optimizer/0/exp_avg is of no parameter of this network"),
        ("optimizer/2/exp_avg", torch.zeros(1), "optimizer/2/exp_avg is of no parameter"),
        ("optimizer/-1/exp_avg", torch.zeros(1), "optimizer/-1/exp_avg is of no parameter"),
        ("optimizer/0/exp_avg", torch.full((1, 2), torch.inf), "optimizer/0/exp_avg has values that are not finite"),
        ("objective/network.weight", torch.zeros(1, 3), r"network\.weight has shape \[1, 3\], expected \[1, 2\]"),
        ("objective/more", torch.zeros(1), "more is unknown"),
        ("best/weight", torch.zeros(1, 2, dtype=torch.float64), "weight has type torch.float64, expected torch.float32"),
        ("best/more", torch.zeros(1), "more is unknown"),
    ],
)
def test_tensors_of_something_else_are_refused_by_name(file, name, tensor, message):
    tensors, metadata = contents(file)
    sealed(file, tensors | {name: tensor}, metadata["loop"])
    refused(file, message)


@pytest.mark.parametrize("name", ["objective/counted", "best/bias"])
def test_a_tensor_that_is_missing_is_named(file, name):
    tensors, metadata = contents(file)
    del tensors[name]
    sealed(file, tensors, metadata["loop"])
    refused(file, f"{name.split('/')[1]} is missing")


@pytest.mark.parametrize("change", ["name", "type", "shape", "value", "numbers"])
def test_whatever_is_changed_the_digest_tells(file, change):
    tensors, metadata = contents(file)
    weight = tensors.pop("best/weight")
    if change == "numbers":
        metadata["loop"] = metadata["loop"].replace('"best_value": 1.0', '"best_value": 0.5')
    name, weight = {
        "name": ("best/weights", weight),
        "type": ("best/weight", weight.view(torch.int32)),
        "shape": ("best/weight", weight.reshape(2, 1)),
        "value": ("best/weight", -weight),
        "numbers": ("best/weight", weight),
    }[change]
    save_file(tensors | {name: weight}, file, metadata)
    refused(file, "its digest is not that of its content: it was changed")


@pytest.mark.parametrize("metadata", [None, {"loop": "{}"}])
def test_a_file_of_something_else_is_refused(file, metadata):
    save_file({"a": torch.zeros(1)}, file, metadata)
    refused(file, "digest")


def test_a_file_that_is_no_safetensors_is_refused(file):
    file.write_bytes(b"not at all")
    refused(file, "[Hh]eader")

"""What fusion methods minimise and are validated on, how states and scores are scaled, and how much of it is drawn."""

import math

import numpy as np
import pytest
import torch
from conftest import tiny
from torch import nn

from config.plugins import names
from config.sections import DQNArchitecture
from kdgat_models.decision import ScoreScale
from kdgat_models.errors import DatasetError
from kdgat_models.fusion.method import FusionData, FusionInputs, fused_scores
from kdgat_models.fusion.methods import fusion_method
from kdgat_models.fusion.mlp import MlpFusion
from kdgat_models.fusion.objective import FusionObjective
from kdgat_models.fusion.weighted_avg import WeightedAverage
from kdgat_models.training.objective import Draws

SCORES = torch.tensor([0.2, 0.5, 1.0, 0.0])
LABELS = torch.tensor([0, 1, 1, 1])
SURE = -math.log(1e-6)  # what a sure mistake costs
# The error of each window, and with the weights 4 / (2 * 1) and 4 / (2 * 3).
ERRORS = [-math.log(0.8), math.log(2), 0.0, SURE]
WEIGHTED = [2 * ERRORS[0], 2 / 3 * ERRORS[1], 0.0, 2 / 3 * ERRORS[3]]


def data(labels=LABELS, scores=SCORES, width=2) -> FusionData:
    """Windows of which both views say the same."""
    states = torch.arange(float(len(labels) * width)).view(len(labels), width)
    return FusionData(FusionInputs(states, scores, scores), labels, torch.full((len(labels),), -1))


def objective(train=None, validation=None, **options) -> FusionObjective:
    config = tiny("fusion", **options)
    return FusionObjective(WeightedAverage(config.dqn, 2), train or data(), validation or data(), config)


def test_validation_is_the_cross_entropy_and_the_accuracy_of_all_windows_alike():
    found = objective(train=data(torch.tensor([0, 1, 0, 1]))).validate()
    assert found["value"] == pytest.approx(sum(ERRORS) / 4, rel=1e-4)
    assert found["accuracy"] == 0.75  # a half is an attack


def test_validation_is_of_other_windows_than_training():
    other = data(torch.tensor([0, 1]), torch.tensor([0.25, 0.5]))
    found = objective(validation=other).validate()
    assert found["value"] == pytest.approx((-math.log(0.75) + math.log(2)) / 2, rel=1e-5)
    assert objective(validation=other).class_weight.tolist() == pytest.approx([4 / 2, 4 / 6])


def test_the_loss_weighs_both_classes_alike():
    made = objective()
    for rows in ([0, 1, 2, 3], [3], [1, 1, 0]):
        loss = made.loss(torch.tensor(rows), Draws.of(0, 0))
        assert loss.keys() == {"total"}
        assert loss["total"].item() == pytest.approx(np.mean([WEIGHTED[row] for row in rows]), rel=1e-3)


def test_an_epoch_has_its_steps_of_batches_from_all_training_windows():
    made = objective(**{"training.batch_size": 50, "fusion.steps_per_epoch": 7})
    batches = list(made.batches(0, Draws.of(0, 0)))
    assert [len(batch) for batch in batches] == [50] * 7
    assert set(torch.cat(batches).tolist()) == {0, 1, 2, 3}
    again, other = (list(made.batches(0, Draws.of(seed, 0))) for seed in (0, 1))
    assert all(torch.equal(first, second) for first, second in zip(batches, again, strict=True))
    assert not all(torch.equal(first, second) for first, second in zip(batches, other, strict=True))


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_windows_of_one_class_are_refused_with_what_they_were_for(labels):
    one_class, scores = torch.tensor(labels), torch.full((3,), 0.5)
    said = f"{sum(labels)} of 3 windows to train fusion on are attacks"
    with pytest.raises(DatasetError, match=said):
        objective(train=data(one_class, scores))
    with pytest.raises(DatasetError, match=said.replace("train", "validate")):
        objective(validation=data(one_class, scores))


def test_the_scale_of_states_is_that_of_the_training_windows():
    made = objective(validation=data(torch.tensor([0, 1]), torch.tensor([0.5, 0.5])))
    assert made.network.state_mean.tolist() == [3.0, 4.0]  # of 0, 2, 4, 6 and of 1, 3, 5, 7
    assert made.network.state_std.tolist() == pytest.approx([math.sqrt(5)] * 2)


@pytest.mark.parametrize(("clip", "far"), [(5.0, 5.0), (2.5, 2.5), (None, 1e6)])
def test_states_are_clipped_where_it_says_and_one_that_never_varied_is_a_matter_of_a_millionth(clip, far):
    network = WeightedAverage(DQNArchitecture(state_clip=clip), 2)
    assert network.scaled(torch.tensor([[1.0, -2.0]])).tolist() == [[1.0, -2.0]]  # before it is fitted
    network.fit_scale(torch.tensor([[0.0, 7.0], [4.0, 7.0]]))
    scaled = network.scaled(torch.tensor([[2.0, 7.0], [4.0, 6.0], [0.0, 8.0]]))
    assert scaled.flatten().tolist() == pytest.approx([0, 0, 1, -far, -1, far])
    assert set(network.state_dict()) >= {"state_mean", "state_std"}


def test_views_of_scores_far_off_are_never_quite_none():
    scale = ScoreScale(1.0, 2.0)
    low, least, high = scale(np.array([1.0 - 2 * 29, -1e300, 1e300])).tolist()
    assert low == pytest.approx(math.exp(-29), rel=1e-4)
    assert least == pytest.approx(math.exp(-30), rel=1e-4)
    assert high == 1.0
    assert scale(np.array([3.0])).dtype == np.float32


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_the_perceptron_is_its_equations(training):
    torch.manual_seed(0)
    method = MlpFusion(DQNArchitecture(dropout=0.3, state_clip=1.0), 3).train(training)
    method.fit_scale(torch.randn(9, 3))
    first, second, last = (layer for layer in method.layers if isinstance(layer, nn.Linear))
    inputs = FusionInputs(3 * torch.randn(6, 3), torch.rand(6), torch.rand(6))
    scaled = ((inputs.states - method.state_mean) / method.state_std).clamp(-1, 1)
    torch.manual_seed(7)
    found = method(inputs)
    torch.manual_seed(7)
    h = torch.relu(first(torch.cat([scaled, inputs.anomaly[:, None], inputs.classifier[:, None]], 1)))
    h = torch.relu(second(nn.functional.dropout(h, 0.3, training)))
    torch.testing.assert_close(found, torch.sigmoid(last(h))[:, 0])
    assert (first.out_features, second.out_features) == (32, 32)


@pytest.mark.parametrize("name", names("fusion"))
def test_scores_in_use_are_not_those_of_training(name):
    torch.manual_seed(0)
    method = fusion_method(name).network(DQNArchitecture(hidden=16, layers=1, dropout=0.5), 2).train()
    first, second = (fused_scores(method, data(width=2).inputs) for _ in range(2))
    assert np.array_equal(first, second)
    assert not method.training
    assert first.dtype == np.float64

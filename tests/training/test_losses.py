import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from config.plugins import names
from config.sections import CurriculumConfig, LossConfig, TrainingConfig
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.classifier import ClassifierOutput
from kdgat_models.training.curriculum import Balanced, make_sampler
from kdgat_models.training.loop import learning_rate
from kdgat_models.training.losses import node_loss, window_loss
from kdgat_models.training.objective import spread

LOGITS = torch.tensor([[0.0, 0.0], [2.0, -1.0], [-1.0, 3.0], [1.0, 2.0]])
LABELS = torch.tensor([0, 0, 1, 0])
# Probability of the right class, by hand: 1 / (1 + exp(wrong - right)).
RIGHT = [0.5, 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-4)), 1 / (1 + math.exp(1))]
ERRORS = [-math.log(p) for p in RIGHT]
EXPECTED = {
    "cross_entropy": sum(ERRORS) / 4,
    # A fifth of the windows attack: weights 0.5 / 0.8 and 0.5 / 0.2, and the mean is a weighted one.
    "weighted": (0.625 * (ERRORS[0] + ERRORS[1] + ERRORS[3]) + 2.5 * ERRORS[2]) / (3 * 0.625 + 2.5),
    "focal": sum((1 - p) ** 2 * error for p, error in zip(RIGHT, ERRORS, strict=True)) / 4,
}
NAMES = names("losses")


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_windows_is_what_it_is_by_hand(name):
    loss = window_loss(name)(LOGITS, LABELS, LossConfig(name=name), 0.2)
    assert loss.item() == pytest.approx(EXPECTED[name], rel=1e-5)


def test_focal_without_gamma_is_cross_entropy():
    loss = window_loss("focal")(LOGITS, LABELS, LossConfig(name="focal", focal_gamma=0), 0.2)
    assert loss.item() == pytest.approx(EXPECTED["cross_entropy"], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_class_that_is_missing_leaves_the_loss_finite(name, share):
    labels = torch.full((4,), int(share))
    assert torch.isfinite(window_loss(name)(LOGITS, labels, LossConfig(name=name), share))


@pytest.mark.parametrize("weight", [1.0, 8.0])
def test_the_loss_of_nodes_weights_those_that_attack(weight):
    logits, labels = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([0, 1, 1])
    output = ClassifierOutput(torch.zeros(1, 2), torch.zeros(1, 4), logits)
    nothing = torch.zeros(3, dtype=torch.long)
    edges = torch.zeros(2, 0, dtype=torch.long)
    batch = GraphBatch(nothing, torch.zeros(3, 2), edges, torch.zeros(0, 1), nothing, torch.ones(1, dtype=torch.long), labels)
    expected = (math.log(2) + weight * math.log(1 + math.exp(-2)) + weight * math.log(1 + math.e)) / 3
    assert node_loss(output, batch, LossConfig(node_positive_weight=weight)).item() == pytest.approx(expected, rel=1e-5)


def test_one_cycle_starts_low_peaks_at_15_percent_and_ends_at_nothing():
    config = TrainingConfig(lr=0.002, schedule="one_cycle")
    progress = np.linspace(0, 1, 201)
    rates = np.array([learning_rate(config, at) for at in progress])
    assert rates[0] == pytest.approx(0.04 * 0.002)
    assert progress[rates.argmax()] == pytest.approx(0.15)
    assert rates.max() == pytest.approx(0.002)
    assert 0 < rates[-1] < 1e-3 * 0.002
    assert np.all(np.diff(rates[:31]) > 0)
    assert np.all(np.diff(rates[30:200]) < 0)


@given(st.floats(0, 1), st.floats(1e-6, 1))
def test_a_constant_rate_is_constant_and_no_schedule_exceeds_the_rate(progress, rate):
    assert learning_rate(TrainingConfig(lr=rate, schedule="constant"), progress) == rate
    assert 0 < learning_rate(TrainingConfig(lr=rate, schedule="one_cycle"), progress) <= rate


NORMAL, ATTACK = np.arange(1000), np.arange(1000, 1030)


def balanced(normal=NORMAL, attack=ATTACK, windows=400) -> Balanced:
    return make_sampler(normal, attack, None, CurriculumConfig(sampling="balanced", windows_per_epoch=windows))


@pytest.mark.parametrize(("normal", "attack"), [(NORMAL, ATTACK), (ATTACK, NORMAL), (NORMAL[:5], ATTACK[:7])])
def test_balanced_draws_both_sides_equally_often(normal, attack):
    drawn = balanced(normal, attack).windows(0, np.random.default_rng(0))
    counts = [np.isin(drawn, side).sum() for side in (normal, attack)]
    assert counts[0] == counts[1] == min(200, max(len(normal), len(attack)))


def test_balanced_repeats_the_rarer_side_and_never_the_other():
    drawn = balanced().windows(0, np.random.default_rng(0))
    assert len(np.unique(drawn[drawn < 1000])) == 200
    assert set(drawn[drawn >= 1000].tolist()) == set(ATTACK.tolist())


def test_balanced_draws_anew_in_each_epoch_and_in_time_draws_all():
    sampler, generator = balanced(), np.random.default_rng(0)
    epochs = [sampler.windows(epoch, generator) for epoch in range(40)]
    assert not np.array_equal(np.sort(epochs[0]), np.sort(epochs[1]))
    assert len(np.unique(np.concatenate(epochs))) == 1030


@given(st.integers(0, 300), st.integers(1, 100))
def test_spread_is_ordered_even_and_at_most_as_long_as_asked(count, most):
    windows = 3 * np.arange(count)
    chosen = spread(windows, most)
    assert len(chosen) == min(count, most)
    assert np.isin(chosen, windows).all()
    steps = np.diff(np.append(chosen, 3 * count)) // 3  # also from the last one to the end
    assert steps.min(initial=1) >= 1
    assert np.ptp(steps) <= 1 if count else not len(steps) > 1

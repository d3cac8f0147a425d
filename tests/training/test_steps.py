"""What `fit` does in each step, seen from outside: gradients, rates, draws and batches, on objectives of a few numbers."""

import math

import numpy as np
import pytest
import torch
from conftest import tiny
from torch import nn

from config.schema import TrainingConfig
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.registry import build
from kdgat_models.training.curriculum import make_sampler
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.loop import choose_device, fit
from kdgat_models.training.objective import Draws, Objective, shuffled_batches
from kdgat_models.training.vgae import VgaeObjective

STEPS = 4  # in an epoch


class Sloped(Objective[nn.Module]):
    """Two weights, whose gradients are the given slopes in every step, and a log of what `fit` did."""

    def __init__(self, slopes=(1.0, 1.0)):
        super().__init__()
        self.network = nn.Linear(2, 1, bias=False)
        nn.init.constant_(self.network.weight, 3.0)
        self.slopes = torch.tensor([slopes])
        self.gradients, self.weights, self.seeds, self.modes = [], [self.weight], [], []

    @property
    def weight(self):
        return self.network.weight.detach().clone()

    def batches(self, epoch, draws):
        self.seeds.append((int(draws.numpy.integers(2**60)), draws.torch.initial_seed()))
        yield from range(STEPS)

    def loss(self, batch, draws):
        self.modes.append(self.network.training)
        return {"total": (self.network.weight * self.slopes).sum(), "step": torch.tensor(float(batch))}

    def after_step(self):
        self.gradients.append(self.network.weight.grad.clone())
        self.weights.append(self.weight)

    def validate(self):
        self.modes.append(self.network.training)
        return {"value": -float(len(self.weights))}  # each epoch is better than the last


def plain(**options):
    return TrainingConfig(**{"lr": 0.1, "weight_decay": 0.0, "schedule": "constant", "max_epochs": 1, **options})


def test_gradients_are_clipped_to_their_length_over_all_weights_and_keep_their_direction():
    objective = Sloped((3e6, 4e6))
    fit(objective, plain(gradient_clip=0.5), 0)
    for gradient in objective.gradients:
        torch.testing.assert_close(gradient, torch.tensor([[0.3, 0.4]]))


def test_gradients_within_the_limit_are_left_alone():
    objective = Sloped((0.3, 0.4))
    fit(objective, plain(gradient_clip=0.51), 0)
    torch.testing.assert_close(torch.stack(objective.gradients), torch.tensor([[[0.3, 0.4]]] * STEPS))


def moved(objective):
    """How far each step went. A gradient that never changes makes a step of Adam as long as its rate."""
    return [(before - after)[0, 0].item() for before, after in zip(objective.weights, objective.weights[1:], strict=False)]


def test_a_constant_rate_is_the_length_of_every_step():
    objective = Sloped()
    fit(objective, plain(max_epochs=3), 0)
    assert moved(objective) == pytest.approx([0.1] * 3 * STEPS, rel=1e-4)


def test_one_cycle_is_the_rate_of_the_steps_that_are_taken():
    objective = Sloped()
    fit(objective, plain(schedule="one_cycle", max_epochs=5), 0)
    by_hand = []
    for step in range(5 * STEPS):
        done = step / (5 * STEPS)
        rising = 0.04 + 0.96 * done / 0.15 if done < 0.15 else 1.0
        falling = (done - 0.15) / 0.85 if done > 0.15 else 0.0
        by_hand.append(0.1 * rising * (1 + math.cos(math.pi * falling)) / 2)
    assert by_hand[:4] == pytest.approx([0.004, 0.036, 0.068, 0.1])
    assert moved(objective) == pytest.approx(by_hand, rel=1e-3, abs=1e-6)


def test_weights_decay_by_the_rate_and_their_size():
    objective = Sloped((0.0, 0.0))
    fit(objective, plain(weight_decay=0.5), 0)
    sizes = [weight[0, 0].item() for weight in objective.weights]
    assert sizes == pytest.approx([3 * 0.95**step for step in range(STEPS + 1)])


def test_gradients_of_one_step_are_gone_in_the_next():
    objective = Sloped((0.2, 0.1))
    fit(objective, plain(max_epochs=2), 0)
    assert {tuple(gradient[0].tolist()) for gradient in objective.gradients} == {tuple(torch.tensor([0.2, 0.1]).tolist())}


def test_losses_of_an_epoch_are_the_mean_over_its_steps():
    report = fit(Sloped(), plain(), 0).history[0]
    assert report.steps == STEPS
    assert report.train["step"] == pytest.approx((0 + 1 + 2 + 3) / 4)


def test_training_is_done_in_training_mode_and_validation_is_not():
    objective = Sloped()
    fit(objective, plain(max_epochs=2), 0)
    assert objective.modes == [*[True] * STEPS, False] * 2
    assert not objective.network.training


def test_only_a_better_value_is_the_best_and_the_first_is_the_best_so_far():
    class Flat(Sloped):
        def validate(self):
            return {"value": float("inf") if len(self.weights) < 6 else 1.0}

    result = fit(Flat(), plain(max_epochs=4), 0)
    assert [report.best for report in result.history] == [True, True, False, False]
    assert (result.best_epoch, result.best_value) == (2, 1.0)


def test_every_epoch_and_seed_has_draws_of_its_own():
    seeds = {}
    for seed in (0, 1):
        objective = Sloped()
        fit(objective, plain(max_epochs=4), seed)
        seeds[seed] = objective.seeds
    drawn = [number for of_seed in seeds.values() for pair in of_seed for number in pair]
    assert len(set(drawn)) == len(drawn) == 16
    again = Sloped()
    fit(again, plain(max_epochs=4), 1)
    assert again.seeds == seeds[1]


def test_dropout_is_drawn_anew_in_every_step_and_epoch_and_leaves_the_global_generator_alone():
    class Dropped(Sloped):
        def loss(self, batch, draws):
            self.masks.append(tuple(torch.nn.functional.dropout(torch.ones(64)).tolist()))
            return super().loss(batch, draws)

    masks = []
    for _ in range(2):
        objective = Dropped()
        objective.masks = []
        before = torch.get_rng_state()
        fit(objective, plain(max_epochs=2), 7)
        assert torch.equal(torch.get_rng_state(), before)
        masks.append(objective.masks)
        torch.rand(3)
    assert masks[0] == masks[1]
    assert len(set(masks[0])) == 2 * STEPS


def test_batches_are_shuffled_and_each_pass_anew():
    windows = 10 * np.arange(60)
    batches = list(shuffled_batches(windows, 20, 6, Draws.of(0, 0)))
    passes = [np.concatenate(batches[:3]), np.concatenate(batches[3:])]
    for order in passes:
        assert sorted(order) == windows.tolist()
        assert np.mean(np.diff(order) > 0) < 0.75  # 59 of 59 if not shuffled
    assert not np.array_equal(*passes)
    assert not np.array_equal(passes[0], np.concatenate(list(shuffled_batches(windows, 20, 1, Draws.of(0, 1)))))


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 9, 12, 13])
def test_a_pass_holds_every_window_once_in_batches_of_the_size_or_one_more(size):
    batches = list(shuffled_batches(np.arange(13), size, 1, Draws.of(0, 0)))
    assert sorted(np.concatenate(batches)) == list(range(13))
    lengths = [len(batch) for batch in batches]
    expected = [size] * (13 // size) + ([13 % size] if 13 % size else [])
    if expected[-1] == 1:
        expected = [*expected[:-2], expected[-2] + 1]
    assert lengths == expected


def test_no_more_steps_are_made_than_whole_passes_need():
    assert len(list(shuffled_batches(np.arange(10), 5, 3, Draws.of(0, 0)))) == 4
    assert len(list(shuffled_batches(np.arange(10), 5, 4, Draws.of(0, 0)))) == 4
    assert len(list(shuffled_batches(np.arange(10), 5, 0, Draws.of(0, 0)))) == 2


@pytest.fixture(scope="module")
def objectives(dataset):
    """Both objectives on the demo, on fewer windows an epoch than there are."""
    made = {}
    for model in ("vgae", "gat"):
        config = tiny(model, **{"training.batch_size": 16, "training.min_steps_per_epoch": 1, "gat.dropout": 0.0})
        torch.manual_seed(0)
        network = build(config, dataset.vocabulary.num_ids, dataset.schema)
        if model == "vgae":
            made[model] = VgaeObjective(network, dataset.train_data(), config)
        else:
            normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
            sampler = make_sampler(normal, attack, None, config.curriculum)
            made[model] = GatObjective(network, dataset.train_data(), config, sampler)
    return made


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_two_epochs_of_a_model_learn_from_other_windows_in_another_order(objectives, dataset, model):
    first, again, second = (list(objectives[model].batches(epoch, Draws.of(0, epoch))) for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    windows = [np.concatenate(batches) for batches in (first, second)]
    assert [len(of_epoch) for of_epoch in windows] == [256, 256]  # of more than there are in an epoch
    assert set(windows[0].tolist()) != set(windows[1].tolist())
    for of_epoch in windows:
        assert (dataset.train.role[of_epoch] == TRAIN).all()
        assert 0.4 < np.mean(np.diff(of_epoch) > 0) < 0.6  # in no order
    assert all(10 < len(batch) <= 17 for batches in (first, second) for batch in batches)


def test_the_noise_of_the_autoencoder_is_drawn_anew_for_every_batch_and_epoch(objectives):
    objective = objectives["vgae"]
    objective.eval()  # no dropout: what differs is the noise
    batch, draws = objective.train_windows[:8], Draws.of(0, 0)
    with torch.no_grad():
        first, second, again, other = (
            objective.loss(batch, drawn)["reconstruction"].item() for drawn in (draws, draws, Draws.of(0, 0), Draws.of(0, 1))
        )
    assert first == again
    assert len({first, second, other}) == 3


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_batches_follow_the_draws_and_nothing_else(objectives, model):
    torch.manual_seed(5)
    np.random.default_rng(5)
    first = np.concatenate(list(objectives[model].batches(0, Draws.of(3, 0))))
    torch.manual_seed(6)
    assert np.array_equal(first, np.concatenate(list(objectives[model].batches(0, Draws.of(3, 0)))))


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto").type == expected
        assert choose_device("cpu").type == "cpu"
        assert choose_device("cuda").type == "cuda"

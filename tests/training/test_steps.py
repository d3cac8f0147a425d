"""What `fit` does in each step, seen from outside: gradients, rates and draws, on objectives of a few numbers."""

import math

import pytest
import torch
from torch import nn
from whole_files import put_in_place, written_in_pieces

from config.sections import TrainingConfig
from kdgat_models.training.loop import choose_device, fit
from kdgat_models.training.objective import Objective

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


class Jerky(Sloped):
    """Another gradient in each of the four steps."""

    def __init__(self, lengths):
        super().__init__()
        self.lengths = lengths

    def loss(self, batch, draws):
        return {"total": (self.network.weight * torch.tensor([[0.6, 0.8]])).sum() * self.lengths[batch]}


def test_steps_are_made_by_gradients_that_are_clipped_already():
    """Adam remembers earlier gradients: one that was too long when it was learnt from shows in the steps that follow."""
    wild, tame = Jerky([1e4, 0.25, 3.0, 0.5]), Jerky([0.5, 0.25, 0.5, 0.5])
    for objective in (wild, tame):
        fit(objective, plain(gradient_clip=0.5), 0)
    torch.testing.assert_close(torch.stack(wild.weights), torch.stack(tame.weights))


def test_what_is_learnt_beside_the_network_is_clipped_together_with_it():
    """A projection onto a teacher's latent is no part of the network that is kept, and part of each step."""

    class Projected(Sloped):
        def __init__(self):
            super().__init__((3.0, 4.0))
            self.projection = nn.Parameter(torch.tensor([1.0]))
            self.beside = []

        def loss(self, batch, draws):
            losses = super().loss(batch, draws)
            return {**losses, "total": losses["total"] + 12 * self.projection.sum()}

        def after_step(self):
            super().after_step()
            self.beside.append(self.projection.grad.clone())

    objective = Projected()
    fit(objective, plain(gradient_clip=1.0), 0)
    for gradient, beside in zip(objective.gradients, objective.beside, strict=True):  # their length was 13
        torch.testing.assert_close(gradient, torch.tensor([[3 / 13, 4 / 13]]))
        torch.testing.assert_close(beside, torch.tensor([12 / 13]))


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


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto").type == expected
        assert choose_device("cpu").type == "cpu"
        assert choose_device("cuda").type == "cuda"


def test_the_state_of_an_epoch_is_put_in_place_whole(tmp_path):
    """A kill while it is written leaves that of the epoch before."""
    with put_in_place() as put:
        fit(Sloped(), plain(max_epochs=2), 0, tmp_path / "state.safetensors")
    assert written_in_pieces(tmp_path, put) == []

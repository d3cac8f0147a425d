"""Which windows make a batch: every one of them, shuffled, drawn anew in each epoch, and by nothing but the epoch's draws."""

import numpy as np
import pytest
import torch
from conftest import tiny

from kdgat_models.graphs.splits import TRAIN
from kdgat_models.registry import build
from kdgat_models.training.curriculum import make_sampler
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.objective import Draws, shuffled_batches
from kdgat_models.training.vgae import VgaeObjective


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


def made(model, dataset, **options):
    """The objective of a model on the demo."""
    config = tiny(model, **options)
    torch.manual_seed(0)
    network = build(config, dataset.vocabulary.num_ids, dataset.schema)
    if model == "vgae":
        return VgaeObjective(network, dataset.train_data(), config)
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    sampler = make_sampler(normal, attack, None, config.curriculum)
    return GatObjective(network, dataset.train_data(), config, sampler)


@pytest.fixture(scope="module")
def objectives(dataset):
    """Both objectives on the demo, on fewer windows an epoch than there are."""
    options = {"training.batch_size": 16, "training.min_steps_per_epoch": 1, "gat.dropout": 0.0}
    return {model: made(model, dataset, **options) for model in ("vgae", "gat")}


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


def test_every_batch_of_a_classifier_has_windows_of_both_classes(objectives, dataset):
    """The sampler gives normal windows first, then attacks: what is cut without being shuffled is of one class."""
    for batch in objectives["gat"].batches(0, Draws.of(0, 0)):
        assert set(dataset.train.label[batch].tolist()) == {0, 1}


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_windows_are_shuffled_also_where_an_epoch_has_them_all(dataset, model):
    options = {"curriculum.windows_per_epoch": 10**6, "curriculum.sampling": "normal", "training.min_steps_per_epoch": 1}
    objective = made(model, dataset, **options)
    order = np.concatenate(list(objective.batches(0, Draws.of(0, 0))))
    assert sorted(order) == dataset.train.windows(TRAIN, None if model == "gat" else 0).tolist()
    assert 0.4 < np.mean(np.diff(order) > 0) < 0.6


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

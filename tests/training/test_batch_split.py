"""CUDA out of memory: batches are halved, and gradients accumulated over the parts are those of the whole batch."""

import numpy as np
import pytest
import torch
from conftest import tiny
from torch import nn

from kdgat_models.graphs.batch import BATCH_WINDOWS, over_windows
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.registry import build
from kdgat_models.training.loop import BatchSplit
from kdgat_models.training.objective import Draws, Objective, window_parts
from kdgat_models.training.vgae import VgaeObjective

CPU = torch.device("cpu")


class Limited(Objective[nn.Linear]):
    """A regression whose loss does not fit into memory for more than `fits` rows."""

    def __init__(self, fits):
        super().__init__()
        torch.manual_seed(0)
        self.network, self.fits, self.sizes = nn.Linear(3, 1), fits, []
        self.rows = torch.randn(64, 3)

    def batches(self, epoch, draws):
        yield np.arange(64)

    def loss(self, batch, draws):
        noise = torch.rand(1, generator=draws.torch)
        self.sizes.append(len(batch))
        if len(batch) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return {"total": (self.network(self.rows[batch]) ** 2).mean() + 0 * noise.sum()}

    def validate(self):
        return {"value": 0.0}

    def parts(self, batch, count):
        return window_parts(batch, count, np.ones_like(batch))


def gradients(objective, split, batch):
    objective.zero_grad()
    losses = split.backward(objective, batch, Draws.of(0, 0), CPU, torch.amp.GradScaler(enabled=False))
    return losses["total"], [parameter.grad.clone() for parameter in objective.network.parameters()]


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_stays_so():
    objective, split = Limited(fits=20), BatchSplit(1, half=False)
    loss, found = gradients(objective, split, np.arange(64))
    assert objective.sizes == [64, 32, 16, 16, 16, 16]
    assert split.parts == 4
    whole_loss, expected = gradients(Limited(fits=64), BatchSplit(1, half=False), np.arange(64))
    assert torch.allclose(loss, whole_loss)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(found, expected, strict=True))
    objective.sizes.clear()
    gradients(objective, split, np.arange(64))
    assert objective.sizes == [16] * 4, "the next batch does not try again"


def test_when_also_the_smallest_parts_do_not_fit_more_memory_is_asked_for():
    with pytest.raises(torch.OutOfMemoryError):
        gradients(Limited(fits=1), BatchSplit(1, half=False), np.arange(64))


def test_random_draws_are_those_of_a_first_try():
    draws = Draws.of(0, 0)
    BatchSplit(1, half=False).backward(Limited(fits=32), np.arange(64), draws, CPU, torch.amp.GradScaler(enabled=False))
    expected = Draws.of(0, 0)
    torch.rand(2, generator=expected.torch)
    assert torch.equal(draws.torch.get_state(), expected.torch.get_state())


def test_the_autoencoders_parts_weigh_as_much_as_their_nodes(dataset):
    config = tiny("vgae", **{"vgae.dropout": 0.0})
    objective = VgaeObjective(build(config, dataset.vocabulary.num_ids, dataset.schema), dataset.train_data(), config)
    objective.eval()  # batch norm then has no part in it
    batch = dataset.train.windows(TRAIN, label=0)[:30]
    parts = objective.parts(batch, 4)
    assert [len(part) for part, _ in parts] == [8, 8, 7, 7]
    assert sum(weight for _, weight in parts) == pytest.approx(1)
    nodes = np.diff(dataset.train.node_offsets)
    assert [weight for _, weight in parts] == pytest.approx([nodes[part].sum() / nodes[batch].sum() for part, _ in parts])


def test_no_part_has_a_single_window():
    assert [len(part) for part, _ in window_parts(np.arange(5), 100, np.ones(5, int))] == [3, 2]
    assert len(window_parts(np.arange(1), 100, np.ones(1, int))) == 1


@pytest.mark.parametrize(
    ("windows", "count", "lengths"),
    [(12, 1, [12]), (12, 3, [4, 4, 4]), (11, 3, [4, 4, 3]), (12, 0, [12]), (4, 2, [2, 2]), (6, 100, [2, 2, 2]), (1, 1, [1])],
)
def test_parts_hold_every_window_once_and_weigh_as_much_as_their_size(windows, count, lengths):
    batch, size = 10 * np.arange(windows), np.arange(1, windows + 1)
    parts = window_parts(batch, count, size)
    assert [len(part) for part, _ in parts] == lengths
    assert np.array_equal(np.concatenate([part for part, _ in parts]), batch)
    ends = np.cumsum(lengths)
    expected = [size[end - length : end].sum() / size.sum() for end, length in zip(ends, lengths, strict=True)]
    assert [weight for _, weight in parts] == pytest.approx(expected)


def test_an_objective_that_says_nothing_of_parts_has_its_batches_whole():
    batch = np.arange(5)
    assert Objective.parts(Limited(fits=1), batch, 4) == [(batch, 1.0)]


def test_windows_from_which_nothing_is_learnt_come_in_smaller_batches_where_they_do_not_fit_and_in_their_order():
    sizes = []

    def run(windows):
        sizes.append(len(windows))
        if len(windows) > BATCH_WINDOWS // 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return windows

    windows = np.arange(BATCH_WINDOWS + 10)[::-1]
    assert np.array_equal(np.concatenate(over_windows(windows, run)), windows)
    assert sizes == [BATCH_WINDOWS, BATCH_WINDOWS // 2, *[BATCH_WINDOWS // 4] * 4, 10]
    assert over_windows(windows[:0], run) == []


def test_when_not_even_one_window_fits_more_memory_is_asked_for():
    def run(windows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        over_windows(np.arange(10), run)

"""What the training loop needs to know of a model: its batches, its loss, and how good it is on validation data."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Draws(NamedTuple):
    """The random generators of one epoch; all randomness of an objective comes from here."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, seed: int, epoch: int) -> "Draws":
        """Generators that depend on the epoch and not on what came before, so that a resumed run repeats itself."""
        mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
        return cls(np.random.default_rng(mixed), torch.Generator().manual_seed(mixed))


class Objective(nn.Module, ABC, Generic[Network]):
    """A network and how it is trained. Its state dict is all that training has to keep to go on after a kill."""

    network: Network  # what is kept in the end
    settled_after: int = 0  # epochs in which early stopping does not count yet

    @abstractmethod
    def batches(self, epoch: int, draws: Draws) -> Iterator[Any]:
        """The batches of one epoch (from 0)."""

    @abstractmethod
    def loss(self, batch: Any, draws: Draws) -> dict[str, Tensor]:
        """Scalars by name; `total` is minimised, the others are logged."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures on validation data; the lowest `value` marks the best weights."""

    def parts(self, batch: Any, count: int) -> list[tuple[Any, float]]:
        """`batch` in at most `count` parts, each with its share of the batch's mean loss; whole where it cannot be divided."""
        return [(batch, 1.0)]

    def after_step(self) -> None:
        """Called after each optimiser step."""


def window_parts(batch: NDArray[np.int64], count: int, size: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], float]]:
    """Windows in parts of two or more (batch norm needs them), weighted by their `size` in what the loss is a mean over."""
    cuts = max(min(count, len(batch) // 2), 1)
    pairs = zip(np.array_split(batch, cuts), np.array_split(size, cuts), strict=True)
    return [(windows, float(sizes.sum() / size.sum())) for windows, sizes in pairs]


def spread(windows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of `windows`, evenly over all of them."""
    return windows if len(windows) <= most else windows[np.arange(most) * len(windows) // most]


def shuffled_batches(windows: NDArray[np.int64], batch_size: int, min_steps: int, draws: Draws) -> Iterator[NDArray[np.int64]]:
    """Shuffle `windows` and cut them into batches; repeat with a new shuffle until there are `min_steps` batches."""
    steps = 0
    while steps < max(min_steps, 1):
        order = draws.numpy.permutation(windows)
        for begin in range(0, len(order), batch_size):
            # A last batch of one window would leave batch norm little to normalise; it joins the one before.
            if len(order) - begin == 1 and begin:
                continue
            end = begin + batch_size + (len(order) - begin == batch_size + 1)
            yield order[begin:end]
            steps += 1

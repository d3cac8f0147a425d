"""Which windows the classifier trains on in each epoch.

Curriculum learning (Bengio et al. 2009): normal windows are ranked by the autoencoder's score, from easy (typical) to
hard; the share of the ranking that is used and the ratio of normal to attack windows both grow over the epochs.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.sections import CurriculumConfig
from kdgat_models.errors import DatasetError


class Stage(NamedTuple):
    """Where a curriculum stands in one epoch."""

    ratio: float  # normal windows per attack window
    percentile: float  # easiest share of the normal windows that may be drawn, in %


class Sampler(ABC):
    """Chooses the training windows of an epoch out of normal and attack windows (graph indices)."""

    settled_after: int = 0  # epochs until the choice is the final one

    def __init__(self, normal: NDArray[np.int64], attack: NDArray[np.int64], config: CurriculumConfig) -> None:
        if not len(normal) or not len(attack):
            raise DatasetError(
                f"the classifier needs normal and attack windows to train on; there are {len(normal)} and {len(attack)}. "
                "Add labelled captures to train_02_with_attacks, or train only the autoencoder: --models vgae"
            )
        self.normal, self.attack, self.config = normal, attack, config

    def windows(self, epoch: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Windows of `epoch` (from 0), in no particular order; of more than the config allows, as many at random."""
        chosen, most = self.chosen(epoch, generator), self.config.windows_per_epoch
        return chosen if len(chosen) <= most else generator.choice(chosen, most, replace=False)

    @abstractmethod
    def chosen(self, epoch: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Windows of `epoch`, however many."""


class AllWindows(Sampler):
    """Every window in every epoch."""

    def chosen(self, epoch: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """All of them, whatever the epoch."""
        return np.concatenate([self.normal, self.attack])


class Balanced(Sampler):
    """As many attacks as normal windows, drawn anew in each epoch; the rarer of the two is repeated."""

    def __init__(self, normal: NDArray[np.int64], attack: NDArray[np.int64], config: CurriculumConfig) -> None:
        super().__init__(normal, attack, config)
        self.each = max(min(config.windows_per_epoch // 2, max(len(normal), len(attack))), 1)

    def chosen(self, epoch: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """As many of each side; with repetition of the side that has too few."""
        sides = (self.normal, self.attack)
        return np.concatenate([generator.choice(side, self.each, replace=len(side) < self.each) for side in sides])


class Curriculum(Sampler):
    """Easy normal windows in balance with attacks at first, all of them at their end ratio once it is through."""

    def __init__(
        self, normal: NDArray[np.int64], attack: NDArray[np.int64], difficulty: NDArray[np.float32], config: CurriculumConfig
    ) -> None:
        super().__init__(normal, attack, config)
        self.ranked = normal[np.argsort(difficulty, kind="stable")]
        self.settled_after = config.epochs

    def stage(self, epoch: int) -> Stage:
        """Ratio and percentile of `epoch` (from 0): linear from their start to their end over `config.epochs` epochs."""
        progress = min(epoch / max(self.config.epochs - 1, 1), 1.0)
        start, end = self.config, self.config
        return Stage(
            start.ratio_start + progress * (end.ratio_end - start.ratio_start),
            start.percentile_start + progress * (end.percentile_end - start.percentile_start),
        )

    def chosen(self, epoch: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Normal windows of this epoch's percentile at its ratio, at random, and all attacks."""
        ratio, percentile = self.stage(epoch)
        allowed = self.ranked[: int(np.ceil(len(self.ranked) * percentile / 100))]
        wanted = min(round(ratio * len(self.attack)), len(allowed))
        return np.concatenate([generator.choice(allowed, max(wanted, 1), replace=False), self.attack])


class HardUndersample(Sampler):
    """The hardest normal windows at a fixed ratio to the attacks, the same in every epoch."""

    def __init__(
        self, normal: NDArray[np.int64], attack: NDArray[np.int64], difficulty: NDArray[np.float32], config: CurriculumConfig
    ) -> None:
        super().__init__(normal, attack, config)
        wanted = max(round(config.undersample_ratio * len(attack)), 1)
        self.hardest = np.concatenate([normal[np.argsort(-difficulty, kind="stable")][:wanted], attack])

    def chosen(self, epoch: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """The same in every epoch."""
        return self.hardest


def make_sampler(
    normal: NDArray[np.int64],
    attack: NDArray[np.int64],
    difficulty: NDArray[np.float32] | None,
    config: CurriculumConfig,
) -> Sampler:
    """The sampler that `config.sampling` names; the ranked ones need the difficulty of each normal window."""
    if config.sampling == "normal":
        return AllWindows(normal, attack, config)
    if config.sampling == "balanced":
        return Balanced(normal, attack, config)
    if difficulty is None:
        raise DatasetError(f"curriculum.sampling={config.sampling} ranks windows by an autoencoder, and none was given")
    return {"curriculum": Curriculum, "hard_undersample": HardUndersample}[config.sampling](normal, attack, difficulty, config)

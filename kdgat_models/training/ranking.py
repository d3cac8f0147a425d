"""Which windows the classifier learns from, ranked by an autoencoder where the config asks for a ranking."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from config.sections import CurriculumConfig
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.vgae import VgaeFeatures
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.training.curriculum import Sampler, make_sampler


def ranked_sampler(dataset: GraphDataset, curriculum: CurriculumConfig, autoencoder: nn.Module | None) -> Sampler:
    """The sampler of a classifier over the training windows of `dataset`.

    Args:
        dataset: The graphs, seen through the vocabulary of the autoencoder.
        curriculum: Names the way of sampling.
        autoencoder: By whose score normal windows are ranked; it is not asked where no ranking is needed.

    Raises:
        DatasetError: there are no normal or no attack windows, or a ranking is needed and there is no autoencoder.
        NonFiniteError: the autoencoder gives a score that is not finite.
    """
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    difficulty: NDArray[np.float32] | None = None
    if curriculum.ranked and autoencoder is not None:
        difficulty = extract(autoencoder, VgaeFeatures(), dataset.train_data(), normal).scores.astype(np.float32)
    return make_sampler(normal, attack, difficulty, curriculum)

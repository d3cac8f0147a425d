"""The sampler of a classifier ranks the normal training windows by the autoencoder, if the config asks for a ranking."""

import numpy as np
import pytest
import torch
from conftest import tiny

from config.sections import CurriculumConfig
from kdgat_models.errors import DatasetError
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.vgae import VgaeFeatures
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.networks.vgae import VGAE
from kdgat_models.registry import build
from kdgat_models.training.curriculum import Curriculum
from kdgat_models.training.ranking import ranked_sampler


def windows_of(store, label):
    return np.flatnonzero((store.role == TRAIN) & (store.label == label))


def test_normal_windows_are_ranked_from_easy_to_hard_by_the_autoencoder(dataset):
    torch.manual_seed(0)
    network = build(tiny(), dataset.vocabulary.num_ids, dataset.schema)
    assert isinstance(network, VGAE)
    sampler = ranked_sampler(dataset, CurriculumConfig(sampling="curriculum"), network)
    assert isinstance(sampler, Curriculum)
    normal = windows_of(dataset.train, 0)
    scores = extract(network, VgaeFeatures(), dataset.train_data(), normal).scores.astype(np.float32)
    assert sampler.ranked.tolist() == normal[np.argsort(scores, kind="stable")].tolist()
    assert sampler.attack.tolist() == windows_of(dataset.train, 1).tolist()


def test_where_nothing_is_ranked_no_autoencoder_is_asked(dataset):
    sampler = ranked_sampler(dataset, CurriculumConfig(sampling="balanced"), torch.nn.Identity())  # which would fail
    assert sampler.normal.tolist() == windows_of(dataset.train, 0).tolist()


def test_a_ranking_without_an_autoencoder_is_refused(dataset):
    with pytest.raises(DatasetError, match="ranks windows by an autoencoder"):
        ranked_sampler(dataset, CurriculumConfig(sampling="curriculum"), None)

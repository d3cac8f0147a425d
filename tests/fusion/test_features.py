"""What fusion is told by the base models, at the borders: no window, many windows, a constant latent, spoilt nodes."""

from copy import copy

import numpy as np
import pytest
import torch
from conftest import tiny
from torch import nn

from kdgat_models.errors import NonFiniteError
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.gat import GAT
from kdgat_models.registry import build


@pytest.fixture(params=EXTRACTORS)
def model(request):
    return request.param


def network(model, dataset, **options):
    torch.manual_seed(0)
    return build(tiny(model, **options), dataset.vocabulary.num_ids, dataset.schema)


@torch.no_grad()
def test_many_windows_are_extracted_as_one_batch_of_all_would_be(dataset, model):
    made = network(model, dataset).train()
    windows = np.arange(0, 3 * 600, 3)[::-1].copy()
    found = extract(made, EXTRACTORS[model], dataset.train_data(), windows)
    assert not made.training
    expected = EXTRACTORS[model](made, dataset.train_data().batch(windows))
    np.testing.assert_allclose(found.features, expected.features.numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.scores, expected.score.numpy(), rtol=1e-3, atol=1e-5)
    assert (found.features.dtype, found.scores.dtype) == (np.float32, np.float64)


def test_of_no_window_there_is_nothing_to_extract(dataset, model):
    found = extract(network(model, dataset), EXTRACTORS[model], dataset.train_data(), np.zeros(0, np.int64))
    assert (found.features.shape, found.scores.shape) == ((0, len(EXTRACTORS[model].names)), (0,))
    assert (found.features.dtype, found.scores.dtype) == (np.float32, np.float64)


def test_a_latent_that_does_not_vary_has_no_spread_and_is_no_error(dataset):
    made = network("vgae", dataset)
    nn.init.zeros_(made.mu.weight)
    nn.init.constant_(made.mu.bias, 0.1)
    found = extract(made, EXTRACTORS["vgae"], dataset.train_data(), np.arange(40)).features
    columns = {name: found[:, column] for column, name in enumerate(EXTRACTORS["vgae"].names)}
    np.testing.assert_allclose(columns["latent_std"], 0, atol=1e-4)
    for name in ("latent_mean", "latent_max", "latent_min"):
        np.testing.assert_allclose(columns[name], 0.1, rtol=1e-5)


@torch.no_grad()
def test_a_classifier_that_is_sure_has_all_confidence_and_one_that_does_not_know_has_none(dataset):
    made = network("gat", dataset, **{"gat.node_head": False})
    last = made.classifier[-1]
    nn.init.zeros_(last.weight)
    for bias, expected in (([0.0, 0.0], [0.5, 0.5, 0.0]), ([0.0, 1e4], [0, 1, 1]), ([np.log(3), 0.0], [0.75, 0.25, 0.18872])):
        last.bias.copy_(torch.tensor(bias))
        found = extract(made, EXTRACTORS["gat"], dataset.train_data(), np.arange(3))
        np.testing.assert_allclose(found.features[:, [0, 1, 6]], [expected] * 3, atol=1e-5)
        np.testing.assert_allclose(found.scores, bias[1] - bias[0], rtol=1e-5)


def reading_one_feature(dataset, feature):
    """A classifier, in training mode, whose node head reads a feature off."""
    made = network("gat", dataset).train()
    assert isinstance(made, GAT)
    head = nn.Linear(made.node_head[0].in_features, 1, bias=False)
    nn.init.zeros_(head.weight)
    head.weight.data[0, made.embedding.embedding_dim + feature] = 1.0
    made.node_head = head
    return made


def test_a_node_whose_logit_is_not_finite_is_found_in_its_window_of_whichever_batch(dataset):
    store = copy(dataset.train)
    capture = next(one for one in store.captures if one.graphs[0] > 256)
    window = capture.graphs[0] + 3
    x = np.array(store.x)
    x[store.node_offsets[window], 0] = 1e38  # finite, and ten times as much is not
    store.x = x
    made = reading_one_feature(dataset, 0)
    with torch.no_grad():
        made.node_head.weight *= 10
    with pytest.raises(NonFiniteError, match=f"the logit of a node is (inf|nan) in window 3 of capture {capture.name}, "):
        suspects(made, GraphData(store, dataset.vocabulary))
    assert not made.training


def test_a_store_without_windows_has_no_suspects(dataset):
    empty = copy(dataset.train)
    empty.label = empty.label[:0]
    found = suspects(network("gat", dataset), GraphData(empty, dataset.vocabulary))
    assert (found.shape, found.dtype) == ((0,), np.uint32)

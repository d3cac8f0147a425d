"""Permutation importance (Breiman 2001, section 10; Fisher, Rudin & Dominici 2019): what a model loses without a feature.

The values of a feature are shuffled over all nodes (edges) of the windows, which keeps how they are distributed and takes
away what they tell. A feature that is the same at all nodes of a window, as those of the bus are, is shuffled over windows,
or windows would be made that no bus can give.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from kdgat_models.graphs.batch import BATCH_WINDOWS, GraphBatch
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.classifier import classify

REPEATS = 3  # shuffles of each feature


class _Column(NamedTuple):
    """A feature, as it lies in a batch."""

    field: str  # of GraphBatch
    at: int | None  # None: the field is the column


@torch.no_grad()
def permutation_importance(
    network: nn.Module, data: GraphData, windows: NDArray[np.int64], seed: int, repeats: int = REPEATS
) -> NDArray[np.float64]:
    """Importance [features] of the features of `features_of`: by how much the mean cross-entropy of `windows` rises.

    It may be slightly negative: the feature then tells nothing. All randomness comes from `seed`; `network` stays as it is.

    Args:
        network: A trained classifier.
        data: Graphs as it sees them.
        windows: Windows to explain, of both labels.
        seed: Of the shuffles.
        repeats: Shuffles of each feature; the importance is their mean.
    """
    generator, was_training = np.random.default_rng(seed), network.training
    batch = data.batch(windows)
    network.eval()
    try:
        whole = _loss(network, batch)
        losses = [[_loss(network, _shuffled(batch, column, generator)) for _ in range(repeats)] for column in _columns(batch)]
    finally:
        network.train(was_training)
    return np.array(losses).mean(1) - whole


def _columns(batch: GraphBatch) -> list[_Column]:
    nodes = [_Column("x", index) for index in range(batch.x.shape[1])]
    edges = [_Column("edge_attr", index) for index in range(batch.edge_attr.shape[1])]
    return [_Column("id_index", None), *nodes, *edges]


def _shuffled(batch: GraphBatch, column: _Column, generator: np.random.Generator) -> GraphBatch:
    """`batch` with the values of one column in another order."""
    field = getattr(batch, column.field)
    values = field if column.at is None else field[:, column.at]
    graph = batch.graph[batch.edge_index[0]] if column.field == "edge_attr" else batch.graph
    changed = values[torch.from_numpy(generator.permutation(len(values)))]
    first = _first_of_each(graph, batch.num_graphs)
    if first is not None and torch.equal(values[first][graph], values):
        changed = values[first][torch.from_numpy(generator.permutation(batch.num_graphs))][graph]
    if column.at is None:
        return batch._replace(**{column.field: changed})
    field = field.clone()
    field[:, column.at] = changed
    return batch._replace(**{column.field: field})


def _first_of_each(graph: Tensor, num_graphs: int) -> Tensor | None:
    """Row of the first node (edge) of each graph; None if a graph has none. `graph` ascends."""
    rows = torch.searchsorted(graph, torch.arange(num_graphs))
    return rows if len(torch.unique(graph)) == num_graphs else None


def _loss(network: nn.Module, batch: GraphBatch) -> float:
    """Mean cross-entropy, a few windows at a time."""
    device = next(network.parameters()).device
    total = 0.0
    for first in range(0, batch.num_graphs, BATCH_WINDOWS):
        some = _cut(batch, first, min(first + BATCH_WINDOWS, batch.num_graphs)).to(device)
        total += F.cross_entropy(classify(network, some).logits, some.label, reduction="sum").item()
    return total / batch.num_graphs


def _cut(batch: GraphBatch, begin: int, end: int) -> GraphBatch:
    """The graphs from `begin` to before `end`."""
    nodes = slice(*torch.searchsorted(batch.graph, torch.tensor([begin, end])).tolist())
    of_edge = batch.graph[batch.edge_index[0]]
    edges = slice(*torch.searchsorted(of_edge, torch.tensor([begin, end])).tolist())
    return GraphBatch(
        batch.id_index[nodes],
        batch.x[nodes],
        batch.edge_index[:, edges] - nodes.start,
        batch.edge_attr[edges],
        batch.graph[nodes] - begin,
        batch.label[begin:end],
        batch.node_label[nodes],
    )

"""Integrated gradients (Sundararajan, Taly & Yan 2017): what each feature adds to the score of a window.

The path is a straight line from a baseline, in which every node and every edge has the mean features of normal windows, to
the window; nodes and edges themselves stay. The index of an ID has no gradient: its embedding goes along the line, from the
mean of the embeddings. What all features of a window add is the difference of its score to that of its baseline
(completeness, Proposition 1).
"""

from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from kdgat_models.errors import DatasetError
from kdgat_models.graphs.batch import GraphBatch, over_windows
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT

STEPS = 16  # points on the path
MOST_WINDOWS = 32  # of a batch: going backwards needs memory, and a stage was given what its training needs


class Inputs(NamedTuple):
    """What a classifier reads of N nodes and E edges, of a batch or of a baseline (N = E = 1)."""

    ids: Float[Tensor, "nodes embedding"]
    x: Float[Tensor, "nodes features"]
    edge_attr: Float[Tensor, "edges edge_features"]

    def towards(self, end: "Inputs", share: float) -> "Inputs":
        """The point at `share` (0 to 1) of the way to `end`, ready to be differentiated."""
        pairs = zip(self, end, strict=True)
        return Inputs(*(torch.lerp(here.expand_as(there), there, share).requires_grad_() for here, there in pairs))


class Attributions(NamedTuple):
    """Per window, on the CPU."""

    features: Float[Tensor, "graphs features"]  # what each feature of `features_of` adds, summed over nodes or edges
    score: Float[Tensor, "graphs"]  # log-odds of "attack"
    baseline_score: Float[Tensor, "graphs"]


def integrated_gradients(network: GAT, data: GraphData, windows: NDArray[np.int64], steps: int = STEPS) -> NDArray[np.float64]:
    """Importance [features] of the features of `features_of`: mean size of what each adds to the log-odds of a window.

    The baseline is the mean of the normal ones among `windows`. Nothing is drawn at random, and `network` stays as it is.

    Args:
        network: A trained classifier.
        data: Graphs as it sees them.
        windows: Windows to explain, of both labels.
        steps: Points on the path, for each of which the network runs forwards and backwards.

    Raises:
        DatasetError: no window is normal.
    """
    normal = windows[data.store.label[windows] == 0]
    if not len(normal):
        raise DatasetError(f"integrated gradients start from the mean of normal windows, and none of {len(windows)} is normal")
    found = attributions(network, data, windows, baseline_of(network, data, normal), steps)
    return found.features.abs().double().mean(0).numpy()


@torch.no_grad()
def baseline_of(network: GAT, data: GraphData, windows: NDArray[np.int64]) -> Inputs:
    """Mean over all nodes, and over all edges, of `windows`."""
    device = next(network.parameters()).device
    sums = over_windows(windows, lambda some: _sums(network, data.batch(some).to(device)))
    nodes, edges = (sum(count[side] for _, count in sums) for side in (0, 1))
    ids, x, edge_attr = (torch.stack(parts).sum(0) for parts in zip(*(total for total, _ in sums), strict=True))
    return Inputs(*((total / max(count, 1)).float() for total, count in ((ids, nodes), (x, nodes), (edge_attr, edges))))


def _sums(network: GAT, batch: GraphBatch) -> tuple[Inputs, tuple[int, int]]:
    read = (network.embedding(batch.id_index), batch.x, batch.edge_attr)
    return Inputs(*(values.double().sum(0, keepdim=True) for values in read)), (len(batch.x), len(batch.edge_attr))


def attributions(
    network: GAT, data: GraphData, windows: NDArray[np.int64], baseline: Inputs, steps: int = STEPS
) -> Attributions:
    """What each feature adds to the score of each of `windows`, with the path integral as a sum at midpoints (eq. 3)."""
    device = next(network.parameters()).device
    copy = deepcopy(network).eval().requires_grad_(False)  # neither its mode nor its gradients are anybody's but ours
    parts = over_windows(windows, lambda some: _attributed(copy, data.batch(some).to(device), baseline, steps), MOST_WINDOWS)
    return Attributions(*(torch.cat(values).cpu() for values in zip(*parts, strict=True)))


def _attributed(network: GAT, batch: GraphBatch, baseline: Inputs, steps: int) -> Attributions:
    end = Inputs(network.embedding(batch.id_index), batch.x, batch.edge_attr)
    slope = [torch.zeros_like(values) for values in end]
    for step in range(steps):
        point = baseline.towards(end, (step + 0.5) / steps)
        gradients = torch.autograd.grad(_score(network, batch, point).sum(), list(point), materialize_grads=True)
        slope = [total + gradient / steps for total, gradient in zip(slope, gradients, strict=True)]
    added = Inputs(*((there - here) * mean for here, there, mean in zip(baseline, end, slope, strict=True)))
    of_nodes = torch.cat([added.ids.sum(1, keepdim=True), added.x], 1)
    of_edge = batch.graph[batch.edge_index[0]]
    features = torch.cat([_per_graph(of_nodes, batch.graph, batch), _per_graph(added.edge_attr, of_edge, batch)], 1)
    with torch.no_grad():
        scores = [_score(network, batch, baseline.towards(end, share)) for share in (1.0, 0.0)]
    return Attributions(features, *scores)


def _per_graph(values: Tensor, graph: Tensor, batch: GraphBatch) -> Tensor:
    return values.new_zeros(batch.num_graphs, values.shape[1]).index_add_(0, graph, values)


def _score(network: GAT, batch: GraphBatch, inputs: Inputs) -> Float[Tensor, "graphs"]:
    """Log-odds of "attack" for each graph of `batch`, had it these features."""
    with _embedding_replaced(network.embedding, inputs.ids):
        logits = classify(network, batch._replace(x=inputs.x, edge_attr=inputs.edge_attr)).logits
    return logits[:, 1] - logits[:, 0]


@contextmanager
def _embedding_replaced(embedding: nn.Module, ids: Tensor) -> Generator[None, None, None]:
    hook = embedding.register_forward_hook(lambda module, given, output: ids)
    try:
        yield
    finally:
        hook.remove()

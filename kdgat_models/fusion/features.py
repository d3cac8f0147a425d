"""What fusion sees of a base model: a few numbers per window, and the model's own decision score."""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import global_mean_pool

from kdgat_models.graphs.batch import GraphBatch, over_windows
from kdgat_models.graphs.finite import Origin, require_finite
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.gat import classify
from kdgat_models.networks.pooling import max_pool
from kdgat_models.networks.vgae import VGAE, vgae_errors


class Extraction(NamedTuple):
    """Per window: features for the fusion state, and the score on which the model alone decides."""

    features: Float[Tensor, "graphs features"]
    score: Float[Tensor, "graphs"]


@runtime_checkable
class FusionFeatureExtractor(Protocol):
    """Batched: one call per batch of windows, never one per window."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def __call__(self, network: nn.Module, batch: GraphBatch) -> Extraction: ...


class VgaeFeatures:
    """Three errors, four figures of the latent means, and 1 / (1 + mean loss).

    The score is the weighted loss with z = mu, of the worst node or the mean over nodes, as the architecture says.
    """

    names = (
        "reconstruction_error",
        "id_error",
        "neighborhood_error",
        "latent_mean",
        "latent_std",
        "latent_max",
        "latent_min",
        "confidence",
    )

    def __call__(self, network: nn.Module, batch: GraphBatch) -> Extraction:
        assert isinstance(network, VGAE)
        output = network(batch.id_index, batch.x, batch.edge_index)
        errors = vgae_errors(output, batch)
        terms = torch.stack([*errors, errors.total(network.arch)], 1)
        means = global_mean_pool(terms, batch.graph, batch.num_graphs)
        score = means[:, 4]
        if network.arch.score == "max":
            score = max_pool(terms[:, 4:], batch.graph, batch.num_graphs).squeeze(1)
        features = torch.cat([means[:, :3], _node_figures(output.mu, batch), (1 / (1 + score))[:, None]], 1)
        return Extraction(features, score)


class GatFeatures:
    """Two probabilities, four figures of the pooled embedding, and 1 - H / ln 2. The score is the difference of logits."""

    names = (
        "p_normal",
        "p_attack",
        "embedding_mean",
        "embedding_std",
        "embedding_max",
        "embedding_min",
        "confidence",
    )

    def __call__(self, network: nn.Module, batch: GraphBatch) -> Extraction:
        output = classify(network, batch)
        log_p = F.log_softmax(output.logits, 1)
        entropy = -(log_p.exp() * log_p).sum(1, keepdim=True)
        e = output.embedding
        figures = torch.stack([e.mean(1), e.std(1, correction=0), e.amax(1), e.amin(1)], 1)
        features = torch.cat([log_p.exp(), figures, 1 - entropy / math.log(2)], 1)
        return Extraction(features, output.logits[:, 1] - output.logits[:, 0])


# In the order in which the features stand in the fusion state.
EXTRACTORS: dict[str, FusionFeatureExtractor] = {"vgae": VgaeFeatures(), "gat": GatFeatures()}


def state_dim() -> int:
    """Width of the fusion state: all features of all base models."""
    return sum(len(extractor.names) for extractor in EXTRACTORS.values())


class Extracted(NamedTuple):
    """`Extraction` over many windows, on the CPU."""

    features: NDArray[np.float32]  # [windows, features]
    scores: NDArray[np.float64]  # [windows]


@torch.no_grad()
def extract(network: nn.Module, extractor: FusionFeatureExtractor, data: GraphData, windows: NDArray[np.int64]) -> Extracted:
    """Run `network` over `windows` in their order, in batches.

    Raises:
        NonFiniteError: the network gives a feature or a score that is not finite.
    """
    network.eval()
    device = next(network.parameters()).device
    parts = over_windows(windows, lambda some: extractor(network, data.batch(some).to(device)))
    if not parts:
        return Extracted(np.zeros((0, len(extractor.names)), np.float32), np.zeros(0))
    features = torch.cat([part.features for part in parts]).cpu().numpy()
    scores = torch.cat([part.score for part in parts]).cpu().double().numpy()
    origin = Origin(data.store, windows)
    require_finite(features, extractor.names, origin.describe)
    require_finite(scores, ["the score"], origin.describe)
    return Extracted(features, scores)


@torch.no_grad()
def suspects(network: nn.Module, data: GraphData) -> NDArray[np.uint32]:
    """Arbitration ID [windows of the store] with the highest logit of the node head in each window.

    Raises:
        NonFiniteError: a logit is not finite.
    """
    network.eval()
    device, store = next(network.parameters()).device, data.store

    def accused(windows: NDArray[np.int64]) -> NDArray[np.int64]:
        logits = classify(network, data.batch(windows).to(device)).node_logit.cpu().numpy()
        first = store.node_offsets[windows] - store.node_offsets[windows[0]]
        # Sorted by window, then by logit: the last node of each window is its suspect.
        window = np.repeat(np.arange(len(windows)), np.diff(np.append(first, len(logits))))
        require_finite(logits, ["the logit of a node"], lambda row, of=window, w=windows: Origin(store, w).describe(of[row]))
        order = np.lexsort((logits, window))
        return order[np.append(first[1:], len(logits)) - 1] + store.node_offsets[windows[0]]

    rows = np.concatenate([np.zeros(0, np.int64), *over_windows(np.arange(len(store)), accused)])
    return np.asarray(store.arbitration_id[rows])


def _node_figures(values: Float[Tensor, "nodes width"], batch: GraphBatch) -> Float[Tensor, "graphs 4"]:
    """Mean, standard deviation, maximum and minimum over all nodes and dimensions of each graph."""
    moments = torch.stack([values.mean(1), values.square().mean(1)], 1)
    mean, square = global_mean_pool(moments, batch.graph, batch.num_graphs).unbind(1)
    extremes = torch.stack([values.amax(1), -values.amin(1)], 1)
    high, low = max_pool(extremes, batch.graph, batch.num_graphs).unbind(1)
    return torch.stack([mean, (square - mean.square()).clamp_min(0).sqrt(), high, -low], 1)

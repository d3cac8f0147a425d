"""Score and fusion features of the autoencoder."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import global_mean_pool

from kdgat_models.extraction.extract import Extraction
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.autoencoder import Autoencoder, autoencoder_errors
from kdgat_models.networks.pooling import max_pool


class VgaeFeatures:
    """Three errors, four figures of the latent means, and 1 / (1 + mean loss).

    The score is the weighted loss with z = mu, of the worst node or the mean over nodes, as the architecture says.
    """

    log_odds = False
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
        assert isinstance(network, Autoencoder)
        output = network(batch.id_index, batch.x, batch.edge_index)
        errors = autoencoder_errors(output, batch)
        terms = torch.stack([*errors, errors.total(network.arch)], 1)
        means = global_mean_pool(terms, batch.graph, batch.num_graphs)
        score = means[:, 4]
        if network.arch.score == "max":
            score = max_pool(terms[:, 4:], batch.graph, batch.num_graphs).squeeze(1)
        features = torch.cat([means[:, :3], _node_figures(output.mu, batch), (1 / (1 + score))[:, None]], 1)
        return Extraction(features, score)


def _node_figures(values: Float[Tensor, "nodes width"], batch: GraphBatch) -> Float[Tensor, "graphs 4"]:
    """Mean, standard deviation, maximum and minimum over all nodes and dimensions of each graph."""
    moments = torch.stack([values.mean(1), values.square().mean(1)], 1)
    mean, square = global_mean_pool(moments, batch.graph, batch.num_graphs).unbind(1)
    extremes = torch.stack([values.amax(1), -values.amin(1)], 1)
    high, low = max_pool(extremes, batch.graph, batch.num_graphs).unbind(1)
    return torch.stack([mean, (square - mean.square()).clamp_min(0).sqrt(), high, -low], 1)

"""Variational graph autoencoder (Kipf & Welling 2016) over the node features of CAN graphs."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn.conv import GATConv

from config.schema import VgaeTraining
from config.sections import VGAEArchitecture
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.layers import with_self_loops

MAX_SCALED = 8.0  # standard deviations; what lies farther out says no more, and must not rule the loss
MAX_LOGVAR = 10.0  # exp(10) is wide enough; without the clamp one bad batch makes the KL term overflow


class VgaeOutput(NamedTuple):
    """Per node: reconstruction of the continuous features, posterior, and logits of the two ID heads."""

    reconstruction: Float[Tensor, "nodes features"]
    target: Float[Tensor, "nodes features"]  # what is reconstructed: x, or x on the scale of training
    mu: Float[Tensor, "nodes latent"]
    logvar: Float[Tensor, "nodes latent"]
    id_logits: Float[Tensor, "nodes ids"]
    neighborhood_logits: Float[Tensor, "nodes ids"]


class VgaeErrors(NamedTuple):
    """The terms of the loss, one value per node."""

    reconstruction: Float[Tensor, "nodes"]  # mean squared error over the continuous features
    identity: Float[Tensor, "nodes"]  # cross-entropy of the node's own ID, nats
    neighborhood: Float[Tensor, "nodes"]  # binary cross-entropy of which IDs are adjacent, mean over IDs, nats
    kl: Float[Tensor, "nodes"]  # KL(q(z|G) || N(0, 1)), mean over latent dimensions, nats

    def total(self, arch: VGAEArchitecture) -> Float[Tensor, "nodes"]:
        """The weighted sum that is minimised in training and is the anomaly score in use."""
        return (
            self.reconstruction
            + arch.id_weight * self.identity
            + arch.neighborhood_weight * self.neighborhood
            + arch.kl_weight * self.kl
        )


class VGAE(nn.Module):
    """Encoder q(z | X, A) of two attention layers, decoder p(X | z, A) of two, and two heads over arbitration IDs."""

    def __init__(self, arch: VGAEArchitecture, num_ids: int, features: int, bounded: bool = True) -> None:
        """`bounded`: all features lie in [0, 1] and so does their reconstruction; others are brought to one scale first."""
        super().__init__()
        wide, narrow, latent = arch.hidden
        inner = arch.neighborhood_hidden or latent
        self.arch = arch
        self.num_ids = num_ids
        self.embedding = nn.Embedding(num_ids, arch.embedding_dim)
        self.encoder_1 = _conv(arch.embedding_dim + features, wide, arch.heads)
        self.encoder_norm_1 = nn.BatchNorm1d(wide)
        self.encoder_2 = _conv(wide, narrow, 1)
        self.encoder_norm_2 = nn.BatchNorm1d(narrow)
        self.mu = nn.Linear(narrow, latent)
        self.logvar = nn.Linear(narrow, latent)
        self.decoder_1 = _conv(latent, narrow, arch.decoder_heads)
        self.decoder_norm_1 = nn.BatchNorm1d(narrow)
        self.decoder_2 = _conv(narrow, features, 1)
        self.id_head = nn.Linear(latent, num_ids)
        self.neighborhood_head = nn.Sequential(
            nn.Linear(latent, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, num_ids)
        )
        self.dropout = nn.Dropout(arch.dropout)
        self.norm = None if bounded else nn.BatchNorm1d(features, affine=False)

    @classmethod
    def from_config(cls, config: VgaeTraining, num_ids: int, schema: dict[str, Any]) -> "VGAE":
        """A new autoencoder for graphs of a schema (`FeatureSchema.describe()`) with `num_ids` indices of IDs."""
        return cls(config.vgae, num_ids, len(schema["node_features"]) - 1, bounded=schema["bounded"])

    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        noise: Float[Tensor, "nodes latent"] | None = None,
    ) -> VgaeOutput:
        """Encode and decode. `noise` is standard normal and makes z = mu + sigma * noise; without it z = mu."""
        edge_index, _ = with_self_loops(edge_index, x.new_zeros(edge_index.shape[1], 0), len(x), self.arch.self_loops)
        x = x if self.norm is None else self.norm(x).clamp(-MAX_SCALED, MAX_SCALED)
        h = torch.cat([self.embedding(id_index), x], 1)
        h = self.dropout(F.relu(self.encoder_norm_1(self.encoder_1(h, edge_index))))
        h = self.dropout(F.relu(self.encoder_norm_2(self.encoder_2(h, edge_index))))
        mu, logvar = self.mu(h), self.logvar(h).clamp(-MAX_LOGVAR, MAX_LOGVAR)
        z = mu if noise is None else mu + torch.exp(0.5 * logvar) * noise
        h = self.dropout(F.relu(self.decoder_norm_1(self.decoder_1(z, edge_index))))
        reconstruction = self.decoder_2(h, edge_index)
        reconstruction = torch.sigmoid(reconstruction) if self.norm is None else reconstruction
        return VgaeOutput(reconstruction, x, mu, logvar, self.id_head(z), self.neighborhood_head(z))


def vgae_errors(output: VgaeOutput, batch: GraphBatch) -> VgaeErrors:
    """The four loss terms of each node of `batch`."""
    adjacent = adjacent_ids(batch, output.neighborhood_logits.shape[1])
    return VgaeErrors(
        (output.reconstruction - output.target).square().mean(1),
        F.cross_entropy(output.id_logits, batch.id_index, reduction="none"),
        F.binary_cross_entropy_with_logits(output.neighborhood_logits, adjacent, reduction="none").mean(1),
        -0.5 * (1 + output.logvar - output.mu.square() - output.logvar.exp()).mean(1),
    )


def adjacent_ids(batch: GraphBatch, num_ids: int) -> Float[Tensor, "nodes ids"]:
    """1 where a node has an edge, in either direction, to a node of that embedding index."""
    source, target = batch.edge_index
    adjacent = batch.x.new_zeros(len(batch.x), num_ids)
    adjacent[source, batch.id_index[target]] = 1.0
    adjacent[target, batch.id_index[source]] = 1.0
    return adjacent


def _conv(inputs: int, outputs: int, heads: int) -> GATConv:
    return GATConv(inputs, outputs // heads, heads, add_self_loops=False)

"""Variational graph autoencoder (Kipf & Welling 2016) over the node features of CAN graphs."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn.conv import GATConv

from config.schema import VgaeTraining
from config.sections import VGAEArchitecture
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.networks.autoencoder import Autoencoder, AutoencoderOutput
from kdgat_models.networks.layers import with_self_loops

MAX_SCALED = 8.0  # standard deviations; what lies farther out says no more, and must not rule the loss
MAX_LOGVAR = 10.0  # exp(10) is wide enough; without the clamp one bad batch makes the KL term overflow


class VGAE(Autoencoder):
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

    @property
    def latent(self) -> int:
        """Width of the posterior."""
        return self.mu.out_features

    @classmethod
    def from_config(cls, config: VgaeTraining, num_ids: int, schema: SchemaRecord) -> "VGAE":
        """A new autoencoder for graphs of a schema (`FeatureSchema.describe()`) with `num_ids` indices of IDs."""
        return cls(config.vgae, num_ids, len(schema["node_features"]) - 1, bounded=schema["bounded"])

    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        noise: Float[Tensor, "nodes latent"] | None = None,
    ) -> AutoencoderOutput:
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
        return AutoencoderOutput(reconstruction, x, mu, logvar, self.id_head(z), self.neighborhood_head(z))


def _conv(inputs: int, outputs: int, heads: int) -> GATConv:
    return GATConv(inputs, outputs // heads, heads, add_self_loops=False)

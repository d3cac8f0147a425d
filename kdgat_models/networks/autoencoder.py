"""What an autoencoder of graphs is, and its errors. Each has a file in this folder and a line in `config/registry.py`."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from config.schema import VgaeTraining
from config.sections import VGAEArchitecture
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.networks.role import AUTOENCODER, Role, network_class


class AutoencoderOutput(NamedTuple):
    """Per node: reconstruction of the continuous features, posterior, and logits of the two ID heads."""

    reconstruction: Float[Tensor, "nodes features"]
    target: Float[Tensor, "nodes features"]  # what is reconstructed: x, or x on the scale of training
    mu: Float[Tensor, "nodes latent"]
    logvar: Float[Tensor, "nodes latent"]
    id_logits: Float[Tensor, "nodes ids"]
    neighborhood_logits: Float[Tensor, "nodes ids"]


class AutoencoderErrors(NamedTuple):
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


class Autoencoder(nn.Module, ABC):
    """A network that learns what normal graphs look like."""

    role: ClassVar[Role] = AUTOENCODER
    arch: VGAEArchitecture  # its weights of the loss, and how nodes become the score of a window

    @property
    @abstractmethod
    def latent(self) -> int:
        """Width of the posterior."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: VgaeTraining, num_ids: int, schema: SchemaRecord) -> "Autoencoder":
        """A new autoencoder for graphs of a schema (`FeatureSchema.describe()`) with `num_ids` indices of IDs."""

    @abstractmethod
    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        noise: Float[Tensor, "nodes latent"] | None = None,
    ) -> AutoencoderOutput:
        """Encode and decode. `noise` is standard normal and makes z = mu + sigma * noise; without it z = mu."""


def new_autoencoder(config: VgaeTraining, num_ids: int, schema: SchemaRecord) -> Autoencoder:
    """A new autoencoder of the class that `vgae.network` names; raises as `network_class`."""
    made: type[Autoencoder] = network_class("vgae.network", config.vgae.network, AUTOENCODER)
    return made.from_config(config, num_ids, schema)


def autoencoder_errors(output: AutoencoderOutput, batch: GraphBatch) -> AutoencoderErrors:
    """The four loss terms of each node of `batch`."""
    adjacent = adjacent_ids(batch, output.neighborhood_logits.shape[1])
    return AutoencoderErrors(
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

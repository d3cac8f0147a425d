"""What a classifier of graphs is. Each has a file in this folder and a line in `config/registry.py`."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from config.schema import GatTraining
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.networks.role import CLASSIFIER, Role, network_class


class ClassifierOutput(NamedTuple):
    """Per graph: logits of normal and attack, and the pooled embedding. Per node: logit of "this ID attacks"."""

    logits: Float[Tensor, "graphs 2"]
    embedding: Float[Tensor, "graphs width"]
    node_logit: Float[Tensor, "nodes"]  # zeros if `gat.node_head` is off


class Classifier(nn.Module, ABC):
    """A network that tells attacks from normal windows."""

    role: ClassVar[Role] = CLASSIFIER

    @classmethod
    @abstractmethod
    def from_config(cls, config: GatTraining, num_ids: int, schema: SchemaRecord) -> "Classifier":
        """A new classifier for graphs of a schema (`FeatureSchema.describe()`) with `num_ids` indices of IDs."""

    @abstractmethod
    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
        graph: Int[Tensor, "nodes"],
        num_graphs: int,
    ) -> ClassifierOutput:
        """The arguments are the fields of a `GraphBatch`."""


def new_classifier(config: GatTraining, num_ids: int, schema: SchemaRecord) -> Classifier:
    """A new classifier of the class that `gat.network` names; raises as `network_class`."""
    made: type[Classifier] = network_class("gat.network", config.gat.network, CLASSIFIER)
    return made.from_config(config, num_ids, schema)


def classify(network: nn.Module, batch: GraphBatch) -> ClassifierOutput:
    """Run a classifier on a batch."""
    return network(batch.id_index, batch.x, batch.edge_index, batch.edge_attr, batch.graph, batch.num_graphs)

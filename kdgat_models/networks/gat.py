"""Graph attention classifier (Velickovic et al. 2018) with jumping knowledge (Xu et al. 2018) and a head for each node."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from config.schema import GatTraining
from config.sections import GATArchitecture, SelfLoops
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.networks.classifier import Classifier, ClassifierOutput
from kdgat_models.networks.convolution import convolution
from kdgat_models.networks.layers import with_self_loops
from kdgat_models.networks.pooling import max_pool, pooling


class GAT(Classifier):
    """Attention layers, all of whose outputs are concatenated (jumping knowledge "cat"), pooling, linear layers.

    With a node head, each node has a logit of its own, from its features and its layers, and the largest of a graph is
    added to the graph's logit of "attack": one bad node out of fifty does not drown, and the output says which it is.
    """

    def __init__(self, arch: GATArchitecture, num_ids: int, features: int, edge_features: int) -> None:
        super().__init__()
        width = arch.hidden * arch.heads
        self.self_loops: SelfLoops = arch.self_loops
        conv = convolution(arch.conv)
        self.embedding = nn.Embedding(num_ids, arch.embedding_dim)
        inputs = [arch.embedding_dim + features] + [width] * (arch.layers - 1)
        self.convs = nn.ModuleList(conv(size, arch.hidden, arch.heads, edge_features) for size in inputs)
        jumped = width * arch.layers
        self.pooling = pooling(arch.pooling)(jumped)
        pooled = self.pooling.width
        hidden = [module for _ in range(arch.fc_layers - 1) for module in (nn.Linear(pooled, pooled), nn.ReLU())]
        self.classifier = nn.Sequential(*hidden, nn.Dropout(arch.dropout), nn.Linear(pooled, 2))
        self.node_head = _node_head(jumped + inputs[0], arch.node_width) if arch.node_head else None
        self.norm = nn.BatchNorm1d(features) if arch.normalise else nn.Identity()
        self.dropout = nn.Dropout(arch.dropout)

    @classmethod
    def from_config(cls, config: GatTraining, num_ids: int, schema: SchemaRecord) -> "GAT":
        """A new classifier for graphs of a schema (`FeatureSchema.describe()`) with `num_ids` indices of IDs."""
        return cls(config.gat, num_ids, len(schema["node_features"]) - 1, len(schema["edge_features"]))

    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
        graph: Int[Tensor, "nodes"],
        num_graphs: int,
    ) -> ClassifierOutput:
        """The arguments are the fields of a `GraphBatch`. Without a node head, `node_logit` is all zeros."""
        nodes = x.shape[0]  # `len` would be a constant in an exported network
        edge_index, edge_attr = with_self_loops(edge_index, edge_attr, nodes, self.self_loops)
        h = torch.cat([self.embedding(id_index), self.norm(x)], 1)
        layers, entry = [], h
        for conv in self.convs:
            h = self.dropout(F.elu(conv(h, edge_index, edge_attr)))
            layers.append(h)
        jumped = torch.cat(layers, 1)
        embedding = self.pooling(jumped, graph, num_graphs)
        logits = self.classifier(embedding)
        if self.node_head is None:
            return ClassifierOutput(logits, embedding, logits.new_zeros(nodes))
        node_logit = self.node_head(torch.cat([entry, jumped], 1)).squeeze(1)
        worst = max_pool(node_logit[:, None], graph, num_graphs)
        return ClassifierOutput(logits + torch.cat([torch.zeros_like(worst), worst], 1), embedding, node_logit)


def _node_head(inputs: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1))

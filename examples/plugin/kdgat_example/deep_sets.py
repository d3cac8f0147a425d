"""A classifier that looks at nodes alone, not at edges (Zaheer et al. 2017): what graphs have to be better than."""

import torch
from torch import Tensor, nn

from config.schema import GatTraining
from config.sections import GATArchitecture
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.networks.classifier import Classifier, ClassifierOutput
from kdgat_models.networks.pooling import max_pool


class DeepSets(Classifier):
    """logits = rho(max over nodes of phi(node)) (Zaheer et al. 2017, eq. 2, with the largest value in place of the sum)."""

    def __init__(self, arch: GATArchitecture, num_ids: int, features: int) -> None:
        super().__init__()
        width = arch.hidden * arch.heads
        self.embedding = nn.Embedding(num_ids, arch.embedding_dim)
        self.norm = nn.BatchNorm1d(features)
        self.phi = nn.Sequential(
            nn.Linear(arch.embedding_dim + features, width), nn.ReLU(), nn.Dropout(arch.dropout), nn.Linear(width, width)
        )
        self.rho = nn.Linear(width, 2)
        self.node_head = nn.Linear(width, 1) if arch.node_head else None

    @classmethod
    def from_config(cls, config: GatTraining, num_ids: int, schema: SchemaRecord) -> "DeepSets":
        """A new classifier, as wide as a GAT of the same settings would be."""
        return cls(config.gat, num_ids, len(schema["node_features"]) - 1)

    def forward(
        self, id_index: Tensor, x: Tensor, edge_index: Tensor, edge_attr: Tensor, graph: Tensor, num_graphs: int
    ) -> ClassifierOutput:
        """id_index [nodes], x [nodes, features], graph [nodes]; edges are not read."""
        nodes = self.phi(torch.cat([self.embedding(id_index), self.norm(x)], 1)).relu()
        embedding = max_pool(nodes, graph, num_graphs)
        logits = self.rho(embedding)
        if self.node_head is None:
            return ClassifierOutput(logits, embedding, logits.new_zeros(len(x)))
        return ClassifierOutput(logits, embedding, self.node_head(nodes).squeeze(1))

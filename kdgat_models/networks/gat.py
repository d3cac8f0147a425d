"""Graph attention classifier (Velickovic et al. 2018) with jumping knowledge (Xu et al. 2018)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import global_mean_pool

from config.schema import GATArchitecture
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.layers import CONVOLUTIONS, with_self_loops


class GatOutput(NamedTuple):
    """Per graph: logits of normal and attack, and the pooled embedding that they were computed from."""

    logits: Float[Tensor, "graphs 2"]
    embedding: Float[Tensor, "graphs width"]


class GAT(nn.Module):
    """Attention layers, all of whose outputs are concatenated (jumping knowledge "cat"), mean pool, linear layers."""

    def __init__(self, arch: GATArchitecture, num_ids: int, features: int, edge_features: int) -> None:
        super().__init__()
        width = arch.hidden * arch.heads
        conv = CONVOLUTIONS[arch.conv]
        self.embedding = nn.Embedding(num_ids, arch.embedding_dim)
        inputs = [arch.embedding_dim + features] + [width] * (arch.layers - 1)
        self.convs = nn.ModuleList(conv(size, arch.hidden, arch.heads, edge_features) for size in inputs)
        jumped = width * arch.layers
        hidden = [module for _ in range(arch.fc_layers - 1) for module in (nn.Linear(jumped, jumped), nn.ReLU())]
        self.classifier = nn.Sequential(*hidden, nn.Dropout(arch.dropout), nn.Linear(jumped, 2))
        self.dropout = nn.Dropout(arch.dropout)

    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
        graph: Int[Tensor, "nodes"],
        num_graphs: int,
    ) -> GatOutput:
        edge_index, edge_attr = with_self_loops(edge_index, edge_attr, len(x))
        h = torch.cat([self.embedding(id_index), x], 1)
        layers = []
        for conv in self.convs:
            h = self.dropout(F.elu(conv(h, edge_index, edge_attr)))
            layers.append(h)
        embedding = global_mean_pool(torch.cat(layers, 1), graph, num_graphs)
        return GatOutput(self.classifier(embedding), embedding)


def classify(network: nn.Module, batch: GraphBatch) -> GatOutput:
    """Run a GAT on a batch."""
    return network(batch.id_index, batch.x, batch.edge_index, batch.edge_attr, batch.graph, batch.num_graphs)

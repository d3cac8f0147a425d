"""The mean and the largest values over the nodes of a graph."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.nn import global_mean_pool

from kdgat_models.networks.pooling import Pooling, max_pool


class MeanMax(Pooling):
    """Both, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__(2 * width)

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        """h [nodes, width] -> [graphs, 2 width]."""
        return torch.cat([global_mean_pool(h, graph, num_graphs), max_pool(h, graph, num_graphs)], 1)

"""From the nodes of a graph to one vector: which of them are heard."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import AttentionalAggregation, global_mean_pool


def max_pool(h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Float[Tensor, "graphs width"]:
    """The largest value of each dimension in each graph; torch-geometric's own warns on every GPU that it could be faster."""
    rows = graph[:, None].expand_as(h)
    return h.new_zeros(num_graphs, h.shape[1]).scatter_reduce(0, rows, h, "amax", include_self=False)


class Mean(nn.Module):
    """What the published method does. One bad node of fifty is a fiftieth of the result."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        return global_mean_pool(h, graph, num_graphs)


class Max(Mean):
    """The strongest node of each dimension."""

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        return max_pool(h, graph, num_graphs)


class MeanMax(Mean):
    """Both, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__(2 * width)

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        return torch.cat([global_mean_pool(h, graph, num_graphs), max_pool(h, graph, num_graphs)], 1)


class Attention(Mean):
    """A learnt gate says how much of each node is heard (Li et al. 2016, eq. 7)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gate = AttentionalAggregation(nn.Linear(width, 1))

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        return self.gate(h, graph, dim_size=num_graphs)


# Width of the nodes -> pooling, whose `width` is that of its result.
POOLINGS: dict[str, Callable[[int], Mean]] = {"mean": Mean, "max": Max, "mean_max": MeanMax, "attention": Attention}

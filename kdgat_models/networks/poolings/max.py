"""The largest value of each dimension over the nodes of a graph."""

from jaxtyping import Float, Int
from torch import Tensor

from kdgat_models.networks.pooling import Pooling, max_pool


class Max(Pooling):
    """The strongest node of each dimension."""

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        """h [nodes, width] -> [graphs, width]."""
        return max_pool(h, graph, num_graphs)

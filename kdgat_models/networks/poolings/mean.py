"""The mean over the nodes of a graph."""

from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.nn import global_mean_pool

from kdgat_models.networks.pooling import Pooling


class Mean(Pooling):
    """What the published method does. One bad node of fifty is a fiftieth of the result."""

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        """h [nodes, width] -> [graphs, width]."""
        return global_mean_pool(h, graph, num_graphs)

"""A mean over the nodes of a graph whose weights are learnt (Li et al. 2016)."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import AttentionalAggregation

from kdgat_models.networks.pooling import Pooling


class Attention(Pooling):
    """A learnt gate says how much of each node is heard (Li et al. 2016, eq. 7)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gate = AttentionalAggregation(nn.Linear(width, 1))

    def forward(self, h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Tensor:
        """h [nodes, width] -> [graphs, width]."""
        return self.gate(h, graph, dim_size=num_graphs)

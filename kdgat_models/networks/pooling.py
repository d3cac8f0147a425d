"""From the nodes of a graph to one vector: which of them are heard. Each pooling has a file in `poolings/`."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor, nn

from config.plugins import load


class Pooling(nn.Module, ABC):
    """Vectors of the nodes of some graphs -> one vector of each graph, `width` numbers wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width  # of the result

    @abstractmethod
    def forward(
        self, h: Float[Tensor, "nodes inputs"], graph: Int[Tensor, "nodes"], num_graphs: int
    ) -> Float[Tensor, "graphs width"]:
        """`graph` says which graph each node is of, in rising order; a graph without nodes has its row, too."""


def pooling(name: str) -> Callable[[int], Pooling]:
    """The pooling called `name`, which is made from the width of the nodes; raises as `config.plugins.load`."""
    return load("poolings", name)


def max_pool(h: Float[Tensor, "nodes width"], graph: Int[Tensor, "nodes"], num_graphs: int) -> Float[Tensor, "graphs width"]:
    """The largest value of each dimension in each graph; torch-geometric's own warns on every GPU that it could be faster."""
    rows = graph[:, None].expand_as(h)
    return h.new_zeros(num_graphs, h.shape[1]).scatter_reduce(0, rows, h, "amax", include_self=False)

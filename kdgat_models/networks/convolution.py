"""What a convolution is, and the wrapper for those that read edge features. Each convolution has a file in `convolutions/`."""

from collections.abc import Callable

from torch import Tensor, nn

from config.plugins import load

# (inputs, outputs of a head, heads, edge features) -> layer that takes x [nodes, inputs], edge_index [2, edges] with the
# loops of the nodes in it, and edge_attr [edges, edge features], and gives [nodes, outputs * heads].
Convolution = Callable[[int, int, int, int], nn.Module]


def convolution(name: str) -> Convolution:
    """The convolution called `name`, built in or of another package; raises as `config.plugins.load`."""
    return load("convolutions", name)


class EdgeAware(nn.Module):
    """A convolution that reads edge features, which are first brought to one scale."""

    def __init__(self, conv: nn.Module, edge_features: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm1d(edge_features)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """x [nodes, inputs], edge_index [2, edges], edge_attr [edges, edge features] -> [nodes, outputs * heads]."""
        return self.conv(x, edge_index, self.norm(edge_attr))

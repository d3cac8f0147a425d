"""Layers that more than one network is built from."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn.conv import GATConv, GATv2Conv, TransformerConv

from config.sections import SelfLoops


def with_self_loops(
    edge_index: Int[Tensor, "2 edges"],
    edge_attr: Float[Tensor, "edges features"],
    num_nodes: int,
    kind: SelfLoops = "add",
) -> tuple[Int[Tensor, "2 looped_edges"], Float[Tensor, "looped_edges features"]]:
    """Append one loop per node, so that every node attends to itself; its edge features are zero.

    Loops that a window has (an ID followed by itself) stay, with their features, unless `kind` is "replace". Appending
    alone keeps the forward pass free of data-dependent shapes: it can be exported.
    """
    if kind == "replace":
        between = edge_index[0] != edge_index[1]
        edge_index, edge_attr = edge_index[:, between], edge_attr[between]
    loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
    return torch.cat([edge_index, loops], 1), torch.cat([edge_attr, edge_attr.new_zeros(num_nodes, edge_attr.shape[1])])


class EdgeBlind(nn.Module):
    """GATConv (Velickovic et al. 2018, eq. 1-6), which looks at nodes only."""

    def __init__(self, inputs: int, outputs: int, heads: int, edge_features: int) -> None:
        super().__init__()
        del edge_features  # the published layer does not read them
        self.conv = GATConv(inputs, outputs, heads, add_self_loops=False)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.conv(x, edge_index)


class EdgeAware(nn.Module):
    """A convolution that reads edge features, which are first brought to one scale."""

    def __init__(self, conv: nn.Module, edge_features: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm1d(edge_features)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.conv(x, edge_index, self.norm(edge_attr))


def gatv2(inputs: int, outputs: int, heads: int, edge_features: int) -> EdgeAware:
    """Brody et al. 2022, eq. 7."""
    conv = GATv2Conv(inputs, outputs, heads, edge_dim=edge_features, add_self_loops=False)
    return EdgeAware(conv, edge_features)


def transformer(inputs: int, outputs: int, heads: int, edge_features: int) -> EdgeAware:
    """Shi et al. 2021, eq. 3-4."""
    return EdgeAware(TransformerConv(inputs, outputs, heads, edge_dim=edge_features), edge_features)


# (inputs, outputs per head, heads, edge features) -> layer of width outputs * heads
CONVOLUTIONS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "gat": EdgeBlind,
    "gatv2": gatv2,
    "transformer": transformer,
}

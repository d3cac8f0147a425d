"""Graph attention as it was published (Velickovic et al. 2018)."""

from torch import Tensor, nn
from torch_geometric.nn.conv import GATConv


class GatConvolution(nn.Module):
    """GATConv (Velickovic et al. 2018, eq. 1-6), which looks at nodes only."""

    def __init__(self, inputs: int, outputs: int, heads: int, edge_features: int) -> None:
        super().__init__()
        del edge_features  # the published layer does not read them
        self.conv = GATConv(inputs, outputs, heads, add_self_loops=False)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """x [nodes, inputs], edge_index [2, edges] -> [nodes, outputs * heads]; `edge_attr` is not read."""
        return self.conv(x, edge_index)

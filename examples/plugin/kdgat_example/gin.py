"""Graph isomorphism convolution (Xu et al. 2019) that reads edge features (Hu et al. 2020)."""

from torch import nn
from torch_geometric.nn.conv import GINEConv

from kdgat_models.networks.convolution import EdgeAware


def gin(inputs: int, outputs: int, heads: int, edge_features: int) -> EdgeAware:
    """Hu et al. 2020, eq. A.1. It has no heads: its width is that of all of them."""
    width = outputs * heads
    inner = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
    return EdgeAware(GINEConv(inner, edge_dim=edge_features), edge_features)

"""Attention by products of queries and keys, which sends edge features along with messages (Shi et al. 2021)."""

from torch_geometric.nn.conv import TransformerConv

from kdgat_models.networks.convolution import EdgeAware


def transformer(inputs: int, outputs: int, heads: int, edge_features: int) -> EdgeAware:
    """Shi et al. 2021, eq. 3-4."""
    return EdgeAware(TransformerConv(inputs, outputs, heads, edge_dim=edge_features), edge_features)

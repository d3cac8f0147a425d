"""Graph attention that weighs messages by edge features (Brody et al. 2022)."""

from torch_geometric.nn.conv import GATv2Conv

from kdgat_models.networks.convolution import EdgeAware


def gatv2(inputs: int, outputs: int, heads: int, edge_features: int) -> EdgeAware:
    """Brody et al. 2022, eq. 7."""
    conv = GATv2Conv(inputs, outputs, heads, edge_dim=edge_features, add_self_loops=False)
    return EdgeAware(conv, edge_features)

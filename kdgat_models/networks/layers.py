"""Layers that more than one network is built from."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

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

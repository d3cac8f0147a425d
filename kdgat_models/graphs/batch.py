"""A batch: several graphs as one disconnected graph, in flat tensors."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class GraphBatch(NamedTuple):
    """G graphs with together N nodes and E edges."""

    id_index: Int[Tensor, "nodes"]  # embedding index of each node's arbitration ID
    x: Float[Tensor, "nodes features"]  # continuous node features
    edge_index: Int[Tensor, "2 edges"]  # source and target node of each edge
    edge_attr: Float[Tensor, "edges edge_features"]
    graph: Int[Tensor, "nodes"]  # graph that each node belongs to, ascending
    label: Int[Tensor, "graphs"]  # 1: the window has an attack frame
    node_label: Int[Tensor, "nodes"]  # 1: an attack frame of the window has this ID

    @property
    def num_graphs(self) -> int:
        return len(self.label)

    def to(self, device: torch.device) -> "GraphBatch":
        return GraphBatch(*(tensor.to(device, non_blocking=True) for tensor in self))

"""A batch: several graphs as one disconnected graph, in flat tensors."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

BATCH_WINDOWS = 256  # of a batch from which nothing is learnt

Result = TypeVar("Result")


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
        """Number of graphs G."""
        return len(self.label)

    def to(self, device: torch.device) -> "GraphBatch":
        """The same batch on `device`; copied while the CPU goes on where memory is pinned."""
        return GraphBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


def over_windows(
    windows: NDArray[np.int64], run: Callable[[NDArray[np.int64]], Result], most: int | None = None
) -> list[Result]:
    """What `run` gives for `windows`, in their order, a batch at a time: a smaller one where a batch does not fit the GPU.

    A batch has at most `most` windows, or BATCH_WINDOWS.

    Raises:
        torch.OutOfMemoryError: not even one window fits.
    """
    results: list[Result] = []
    begin, size = 0, most or BATCH_WINDOWS
    while begin < len(windows):
        try:
            results.append(run(windows[begin : begin + size]))
            begin += size
            continue
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        # Outside of the handler: the exception holds the frames, and with them the tensors that did not fit.
        size //= 2
        torch.cuda.empty_cache()
    return results

"""A trained GAT without PyTorch's batches: the result of a window is the same alone and in any company."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import NonFiniteError, SchemaError
from kdgat_models.inference.kernels import Network, run
from kdgat_models.inference.packed import pack
from kdgat_models.inference.windows import BAD_EDGE, BAD_ID, BAD_OFFSETS, NOT_FINITE, WITHIN, WindowGraphs, check
from kdgat_models.networks.gat import GAT

KINDS = (np.int64, np.float32, np.int32, np.int32, np.float32, np.int64, np.int64)  # of the arrays of `WindowGraphs`
FOUND = {
    BAD_ID: "an embedding index is not one of them",
    BAD_EDGE: "an edge leaves its window",
    BAD_OFFSETS: "the offsets are not those of so many nodes and edges, or a window has no node",
}


class CompiledOutput(NamedTuple):
    """As a `ClassifierOutput`, of G windows with N nodes."""

    logits: NDArray[np.float32]  # [G, 2], of normal and attack
    node_logit: NDArray[np.float32]  # [N], of "this ID attacks"; zeros without a node head


class CompiledClassifier:
    """Compiled once a machine, which takes some 15 s, and kept by numba. How fast it then is: `tests/benchmarks/latency.py`."""

    def __init__(self, packed: Network) -> None:
        self.packed = packed

    @classmethod
    def of(cls, network: GAT) -> Self:
        """A network as it is now, without its dropout; later changes of the network are not seen.

        Raises:
            UnsupportedError: the network has a part that is not compiled; says which. PyTorch runs it.
        """
        return cls(pack(network))

    def __call__(self, graphs: WindowGraphs) -> CompiledOutput:
        """Logits of some windows.

        Raises:
            SchemaError: the network reads another number of features, or knows fewer IDs; or an edge leaves its window.
            NonFiniteError: a feature is not finite.
        """
        sizes = self.packed.sizes
        graphs = WindowGraphs._make(np.require(array, kind, ["C", "W"]) for array, kind in zip(graphs, KINDS, strict=True))
        given, wanted = (graphs.x.shape[1], graphs.edge_attr.shape[1]), (sizes.features, sizes.edge_features)
        if given[0] != wanted[0] or (wanted[1] and given[1] != wanted[1]):  # the published layer reads none of an edge
            raise SchemaError(
                f"the network reads {wanted[0]} features of a node and {wanted[1]} of an edge, not {given[0]} and {given[1]}"
            )
        found = check(graphs, sizes.ids)
        if found == NOT_FINITE:
            raise NonFiniteError("a feature of a node or an edge is not finite")
        if found != WITHIN:
            raise SchemaError(f"the graphs do not fit the network of {sizes.ids} IDs, or each other: {FOUND[found]}")
        logits = np.empty((len(graphs.node_offsets) - 1, 2), np.float32)
        node_logit = np.zeros(len(graphs.id_index), np.float32)
        run(self.packed, graphs, logits, node_logit)
        return CompiledOutput(logits, node_logit)

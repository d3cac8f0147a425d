"""Drift of inputs: how far tonight's windows are from those that a model was trained on.

The population stability index (PSI; Siddiqi 2006, chapter 8) of a feature over bins of equal share in the reference is
sum over bins of (p - q) * ln(p / q), where q is a bin's share in the reference and p its share now. By custom, below 0.1 is
no drift, above 0.25 is a different population.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.graphs.store import GraphStore
from kdgat_models.graphs.vocabulary import UNKNOWN, Vocabulary

BINS = 10  # of a feature
LEAST_SHARE = 1e-4  # share of an empty bin: the index stays finite
MOST_NODES = 1_000_000  # of a store; more do not change a share to three digits


class TrainedOn(NamedTuple):
    """Bins of each node feature, and what share of the nodes that a model was trained on lies in each."""

    features: tuple[str, ...]
    edges: list[NDArray[np.floating]]  # inner edges of the bins, ascending; fewer where values repeat
    shares: list[NDArray[np.floating]]

    @classmethod
    def of(cls, store: GraphStore) -> "TrainedOn":
        """From the windows of a store, attacks included: tonight's captures have them, too."""
        x = _sample(store)
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = [np.unique(np.quantile(x[:, column], inner)) for column in range(x.shape[1])]
        shares = [_shares(x[:, column], edge) for column, edge in enumerate(edges)]
        return cls(tuple(store.schema["node_features"][1:]), edges, shares)  # the first is the embedding index


def drift(reference: TrainedOn, vocabulary: Vocabulary, store: GraphStore) -> dict[str, float]:
    """`psi:{feature}` of each node feature, and `new_ids`, the share of nodes whose ID the model does not know."""
    x = _sample(store)
    figures = {}
    for column, (name, edge, expected) in enumerate(zip(reference.features, reference.edges, reference.shares, strict=True)):
        now = _shares(x[:, column], edge)
        figures[f"psi:{name}"] = float(((now - expected) * np.log(now / expected)).sum())
    figures["new_ids"] = float((vocabulary.encode(store.arbitration_id) == UNKNOWN).mean())
    return figures


def _sample(store: GraphStore) -> NDArray[np.float32]:
    """Node features [nodes, features], every n-th node of a large store."""
    return store.x[:: max(len(store.x) // MOST_NODES, 1)]


def _shares(values: NDArray[np.floating], edges: NDArray[np.floating]) -> NDArray[np.floating]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return np.maximum(counts / len(values), LEAST_SHARE)

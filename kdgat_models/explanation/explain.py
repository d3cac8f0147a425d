"""What each feature counts for in a classifier that was just trained."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kdgat_models.explanation.importance import Feature, ranked
from kdgat_models.explanation.integrated_gradients import integrated_gradients
from kdgat_models.explanation.permutation import permutation_importance
from kdgat_models.explanation.snapshots import ImportanceReport
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.graphs.splits import VALIDATION
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.networks.gat import GAT
from kdgat_models.training.objective import spread

MOST_WINDOWS = 256  # that are explained: with more, a large classifier would need minutes


def explain_training(network: nn.Module, data: GraphData, fold: str | None, seed: int) -> ImportanceReport:
    """What each feature counts for in a classifier that was just trained on `data`, on its validation windows.

    By integrated gradients for our own classifier; by permutation, with `seed`, for one whose embedding we do not know.

    Raises:
        DatasetError: there is no normal window to explain others from.
        NonFiniteError: an importance is not finite.
    """
    windows = explained_windows(data.store, MOST_WINDOWS)
    if isinstance(network, GAT):
        method, importance = "integrated_gradients", integrated_gradients(network, data, windows)
    else:
        method, importance = "permutation", permutation_importance(network, data, windows, seed)
    rows = ranked(features_of(data.store.schema), importance)
    return ImportanceReport(
        method=method, windows=len(windows), fold=fold, trained_at=datetime.now(UTC), importances=tuple(rows)
    )


def features_of(schema: SchemaRecord) -> list[Feature]:
    """All features of a schema: those of nodes, of which the first is the index of the ID, then those of edges."""
    nodes = [Feature("node", name) for name in schema["node_features"]]
    return nodes + [Feature("edge", name) for name in schema["edge_features"]]


def explained_windows(store: GraphStore, most: int) -> NDArray[np.int64]:
    """At most `most` validation windows [windows], in the order of the store.

    They are spread evenly over the normal and over the attack windows, as many of each as there are: in their natural
    proportion, attacks would hardly be heard.
    """
    sides = [store.windows(VALIDATION, label) for label in (0, 1)]
    return np.sort(np.concatenate([spread(side, most // 2) for side in sides]))

"""No feature and no score goes further that is not a finite number: whoever makes them calls these once for each chunk."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import NonFiniteError
from kdgat_models.graphs.schema import Features, FeatureSchema
from kdgat_models.graphs.store import GraphStore
from kdgat_models.graphs.topology import Topology


class Origin(NamedTuple):
    """Where rows of scores come from: row i is of window `windows[i]` of the store."""

    store: GraphStore
    windows: NDArray[np.int64]

    def describe(self, row: int) -> str:
        """Window, frame and capture of a row, for people."""
        window = int(self.windows[row])
        capture = self.store.captures[int(self.store.capture[window])]
        return window_of(capture.name, window - capture.graphs[0], int(self.store.first_frame[window]))


def window_of(capture: str, window: int, frame: int) -> str:
    """How messages name a window: both numbers count from 0 in the capture."""
    return f"window {window} of capture {capture}, which begins at frame {frame}"


def require_finite(values: NDArray[np.floating[Any]], names: Sequence[str], describe: Callable[[int], str]) -> None:
    """Raise unless all values are finite.

    Args:
        values: [n], or [n, columns].
        names: Of the columns.
        describe: Row -> where it comes from, for people.

    Raises:
        NonFiniteError: names the first value that is not finite, and where it comes from.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    table = values.reshape(len(values), -1)
    row, column = np.argwhere(~finite.reshape(table.shape))[0]
    raise NonFiniteError(
        f"{names[column]} is {table[row, column]} in {describe(int(row))}: the model, or the traffic of this window, is out of "
        "all bounds. If it is the traffic, remove the capture from the dataset; if it is the model, train it again"
    )


def require_finite_features(capture: str, first_window: int, schema: FeatureSchema, topology: Topology, made: Features) -> None:
    """Raise a NonFiniteError unless all features of these windows of a capture are finite.

    Args:
        capture: Its name.
        first_window: Number of the first of these windows in it.
        schema: Whose features they are.
        topology: Of the windows.
        made: Their features.
    """
    nodes, edges = schema.node_features[1:], schema.edge_features
    for names, values, offsets in ((nodes, made.nodes, topology.node_offsets), (edges, made.edges, topology.edge_offsets)):

        def describe(row: int, offsets: NDArray[np.int64] = offsets) -> str:
            window = int(np.searchsorted(offsets, row, side="right")) - 1
            return window_of(capture, first_window + window, int(topology.starts[window]) + topology.origin)

        require_finite(values, [f"feature {name}" for name in names], describe)

"""What a feature schema is: a named, versioned list of node and edge features and the function that computes them."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from kdgat_models.can.frames import Frames
from kdgat_models.errors import SchemaError
from kdgat_models.graphs.topology import Topology


class Evidence(NamedTuple):
    """What a schema knows of G windows of W frames beside what models read; all of it as each window ends."""

    measures: NDArray[np.float32]  # [G, W, measures] of each frame
    silent: NDArray[np.int64]  # [G, most], arbitration IDs that do not come any more, longest first; -1: no other
    silent_for: NDArray[np.float64]  # [G, most], s
    gap: NDArray[np.float64]  # [G, most], s, the longest that they were ever silent before


class Features(NamedTuple):
    """Continuous features of N nodes and E edges, in the order of the schema."""

    nodes: NDArray[np.float32]  # [N, len(node_features) - 1], without the embedding index
    edges: NDArray[np.float32]  # [E, len(edge_features)]
    evidence: Evidence | None = None  # if the schema has any: what an alarm is explained by


FeatureNames = Annotated[tuple[str, ...], Field(max_length=1000)]


class SchemaRecord(TypedDict):
    """A schema as JSON has it: what a `SchemaDescription` is read from."""

    name: str
    version: int
    node_features: list[str]
    edge_features: list[str]
    bounded: bool


class SchemaDescription(BaseModel):
    """What stores and checkpoints keep of a schema. Node feature 0 is the embedding index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: Annotated[int, Field(ge=1)]
    node_features: Annotated[FeatureNames, Field(min_length=2)]
    edge_features: Annotated[FeatureNames, Field(min_length=1)]
    bounded: bool

    def record(self) -> SchemaRecord:
        """As JSON has it, to compare it with another's."""
        return {
            "name": self.name,
            "version": self.version,
            "node_features": list(self.node_features),
            "edge_features": list(self.edge_features),
            "bounded": self.bounded,
        }


def _nothing(_: bool) -> None:
    """The first state of a schema that remembers nothing, or that makes its own out of None."""


class FeatureSchema(NamedTuple):
    """Node feature 0 is always the embedding index; it comes from a vocabulary, the others from `compute`.

    `compute` takes frames of a capture, the topology of its next windows, whose `starts` are rows of these frames, and the
    state that it returned for the windows before: a schema may remember a capture, and must give the same however it is cut.
    The frames reach back to the first window, and to the first frame that was not yet seen; there are `topology.origin` of
    the capture before them. The first state is what `begin` gives, which is told whether the timestamps tell time.
    """

    name: str
    version: int  # raise it whenever `compute` gives other numbers
    node_features: tuple[str, ...]
    edge_features: tuple[str, ...]
    compute: Callable[[Frames, Topology, Any], tuple[Features, Any]]
    bounded: bool  # whether all node features lie in [0, 1]
    begin: Callable[[bool], Any] = _nothing

    @property
    def continuous(self) -> int:
        """Number of node features beside the embedding index."""
        return len(self.node_features) - 1

    def describe(self) -> SchemaRecord:
        """What stores and checkpoints keep of a schema, to compare it with another's."""
        return {
            "name": self.name,
            "version": self.version,
            "node_features": list(self.node_features),
            "edge_features": list(self.edge_features),
            "bounded": self.bounded,
        }


def require_same_schema(model: SchemaRecord, graphs: SchemaRecord) -> None:
    """Raise a SchemaError unless a model that was trained on schema `model` may read graphs of schema `graphs`."""
    if model == graphs:
        return
    names = [f"{schema.get('name')} version {schema.get('version')}" for schema in (model, graphs)]
    raise SchemaError(
        f"the model reads graphs of feature schema {names[0]}, these are of {names[1]}; "
        f"build the graphs with preprocessing.feature_schema={model.get('name')}, or train the model again"
    )

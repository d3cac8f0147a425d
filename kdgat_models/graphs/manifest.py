"""What a graph store says of itself in `manifest.json`, and whether that can be true."""

from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kdgat_models.can.naming import COPY
from kdgat_models.graphs.schema import SchemaDescription

MANIFEST = "manifest.json"


class Column(NamedTuple):
    """How a column lies on disk, and what it has a row of."""

    dtype: str
    per: str  # graph, node, edge or frame


# "x" and "edge_attr" have as many values a row as the schema has features; all others have one.
COLUMNS = {
    "label": Column("u1", "graph"),
    "role": Column("u1", "graph"),  # see kdgat_models.graphs.splits; GAP in test splits
    "attack_type": Column("i2", "graph"),  # index into the manifest's attack_types; -1 in a window without attack
    "capture": Column("i4", "graph"),
    "first_frame": Column("i8", "graph"),  # within its capture
    "start_time": Column("f8", "graph"),  # s
    "end_time": Column("f8", "graph"),
    "node_offsets": Column("i8", "graph"),
    "edge_offsets": Column("i8", "graph"),
    "arbitration_id": Column("u4", "node"),
    "node_label": Column("u1", "node"),
    "x": Column("f4", "node"),
    "source": Column("i2", "edge"),
    "target": Column("i2", "edge"),
    "edge_attr": Column("f4", "edge"),
    "frame_label": Column("u1", "frame"),
}
OFFSETS = {"node_offsets": "node", "edge_offsets": "edge"}  # one more row than there are graphs: the end of the last

Rows = Annotated[int, Field(ge=0)]


class CaptureEntry(NamedTuple):
    """Where the graphs and frames of one capture lie in the store."""

    name: str
    attack_type: str
    graphs: tuple[Rows, Rows]  # half-open range
    frames: tuple[Rows, Rows]
    tail_frames: Rows  # frames after the last whole window: in no graph

    @property
    def recorded(self) -> bool:
        """Whether its traffic is what was on a bus, without synthetic attacks."""
        return COPY not in self.name

    @property
    def original(self) -> str:
        """Name of the capture that it is a copy of, or its own."""
        return self.name.split(COPY)[0]


class ColumnShape(BaseModel):
    """One column as it lies on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: Annotated[tuple[Rows, ...], Field(min_length=1, max_length=2)]


class StoreManifest(BaseModel):
    """`manifest.json`; one that exists describes a store that can be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    graph_schema: SchemaDescription = Field(alias="schema")
    attack_types: tuple[str, ...]
    captures: tuple[CaptureEntry, ...]
    columns: dict[str, ColumnShape]
    digests: dict[str, str]  # of the content of each column

    def rows(self, per: str) -> int:
        """Number of graphs, nodes, edges or frames."""
        return next(self.columns[name].shape[0] for name, column in COLUMNS.items() if column.per == per)

    @model_validator(mode="after")
    def _columns_are_those_of_a_store(self) -> Self:
        for what, names in (("columns", self.columns), ("digests", self.digests)):
            if set(names) != set(COLUMNS):
                raise ValueError(f"{what}: {sorted(set(names) ^ set(COLUMNS))} are missing or unknown")
        widths = {"x": len(self.graph_schema.node_features) - 1, "edge_attr": len(self.graph_schema.edge_features)}
        for name, column in COLUMNS.items():
            width = (widths[name],) if name in widths else ()
            expected = ColumnShape(dtype=column.dtype, shape=(self.rows(column.per) + (name in OFFSETS), *width))
            if self.columns[name] != expected:
                raise ValueError(f"columns.{name}: {self.columns[name]!r} does not fit the others, expected {expected!r}")
        return self

    @model_validator(mode="after")
    def _captures_follow_each_other(self) -> Self:
        for field, per in (("graphs", "graph"), ("frames", "frame")):
            end = 0
            for entry in self.captures:
                begin, following = getattr(entry, field)
                if begin != end or following < begin:
                    raise ValueError(
                        f"captures: the {field} of {entry.name} are {begin} to {following}, those before end at {end}"
                    )
                end = following
            if end != self.rows(per):
                raise ValueError(f"captures: they have {end} {field}, the columns {self.rows(per)}")
        return self

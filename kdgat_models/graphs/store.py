"""Graphs on disk: one memory-mapped file per column, with offsets per graph and per capture.

A store is a folder with `{column}.bin` files and `manifest.json` (dtypes, shapes, schema, captures).
"""

import hashlib
import json
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from kdgat_models.errors import CheckpointError, DatasetError
from kdgat_models.files import write_json
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.schema import FeatureSchema
from kdgat_models.graphs.splits import GAP
from kdgat_models.graphs.vocabulary import Vocabulary

MANIFEST = "manifest.json"


class Column(NamedTuple):
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


COPY = "#"  # a copy of a capture, with synthetic attacks, is called CAPTURE#1


class CaptureEntry(NamedTuple):
    """Where the graphs and frames of one capture lie in the store."""

    name: str
    attack_type: str
    graphs: tuple[int, int]  # half-open range
    frames: tuple[int, int]
    tail_frames: int  # frames after the last whole window: in no graph

    @property
    def recorded(self) -> bool:
        """Whether its traffic is what was on a bus, without synthetic attacks."""
        return COPY not in self.name

    @property
    def original(self) -> str:
        """Name of the capture that it is a copy of, or its own."""
        return self.name.split(COPY)[0]


class StoreWriter:
    """Appends arrays to the columns of a new store; `finish` makes it whole."""

    def __init__(self, folder: Path, schema: FeatureSchema) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.schema = schema
        self.captures: list[CaptureEntry] = []
        self.attack_types: list[str] = []
        self._rows = dict.fromkeys(COLUMNS, 0)
        self._files = {name: (folder / f".{name}.bin").open("wb") for name in COLUMNS}
        self._digests = {name: hashlib.blake2b(digest_size=16) for name in COLUMNS}

    def append(self, **columns: NDArray[Any]) -> None:
        """Append rows to the named columns."""
        for name, values in columns.items():
            data = np.ascontiguousarray(values, dtype=COLUMNS[name].dtype)
            data.tofile(self._files[name])
            self._digests[name].update(data.data)
            self._rows[name] += len(data)

    def rows(self, column: str) -> int:
        return self._rows[column]

    def attack_index(self, attack: str) -> int:
        if attack not in self.attack_types:
            self.attack_types.append(attack)
        return self.attack_types.index(attack)

    def finish(self) -> str:
        """Publish the columns and the manifest; return the digest of the content."""
        self.append(node_offsets=np.array([self.rows("arbitration_id")]), edge_offsets=np.array([self.rows("source")]))
        widths = {"x": self.schema.continuous, "edge_attr": len(self.schema.edge_features)}
        manifest = {
            "schema": self.schema.describe(),
            "attack_types": self.attack_types,
            "captures": [capture._asdict() for capture in self.captures],
            "columns": {
                name: {"dtype": column.dtype, "shape": [self._rows[name]] + ([widths[name]] if name in widths else [])}
                for name, column in COLUMNS.items()
            },
            "digests": {name: digest.hexdigest() for name, digest in self._digests.items()},
        }
        for name, file in self._files.items():
            file.close()
            (self.folder / f".{name}.bin").replace(self.folder / f"{name}.bin")
        write_json(self.folder / MANIFEST, manifest)
        return hashlib.blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16).hexdigest()


class GraphStore:
    """A store that is open for reading: columns are attributes, memory-mapped and read-only."""

    label: NDArray[np.uint8]
    role: NDArray[np.uint8]
    attack_type: NDArray[np.int16]
    capture: NDArray[np.int32]
    first_frame: NDArray[np.int64]
    start_time: NDArray[np.float64]
    end_time: NDArray[np.float64]
    node_offsets: NDArray[np.int64]
    edge_offsets: NDArray[np.int64]
    arbitration_id: NDArray[np.uint32]
    node_label: NDArray[np.uint8]
    x: NDArray[np.float32]
    source: NDArray[np.int16]
    target: NDArray[np.int16]
    edge_attr: NDArray[np.float32]
    frame_label: NDArray[np.uint8]

    def __init__(self, folder: Path) -> None:
        if not (folder / MANIFEST).is_file():
            raise CheckpointError(f"no graphs in {folder}: it has no {MANIFEST}; build them again")
        manifest = json.loads((folder / MANIFEST).read_text())
        self.folder = folder
        self.schema: dict[str, Any] = manifest["schema"]
        self.attack_types: list[str] = manifest["attack_types"]
        self.captures = [CaptureEntry(**entry) for entry in manifest["captures"]]
        for name, column in manifest["columns"].items():
            setattr(self, name, _mapped(folder / f"{name}.bin", column["dtype"], tuple(column["shape"])))

    def __len__(self) -> int:
        return len(self.label)

    def restricted(self, captures: Sequence[str]) -> "GraphStore":
        """The same store, in which the windows of other captures have no role: nothing is learnt or chosen on them."""
        wanted = np.isin([capture.name for capture in self.captures], list(captures))
        view = copy(self)
        view.role = np.where(wanted[self.capture], self.role, GAP).astype(np.uint8)
        return view

    def windows_of(self, captures: Sequence[str]) -> NDArray[np.int64]:
        """Indices of all graphs of the named captures."""
        wanted = np.isin([capture.name for capture in self.captures], list(captures))
        return np.flatnonzero(wanted[self.capture])

    def windows(self, role: int, label: int | None = None) -> NDArray[np.int64]:
        """Indices of the graphs of one role (see splits), and of one label if given, in time order per capture."""
        wanted = self.role == role
        if label is not None:
            wanted &= self.label == label
        return np.flatnonzero(wanted)


class GraphData:
    """A store seen through a vocabulary: what a model reads."""

    def __init__(self, store: GraphStore, vocabulary: Vocabulary) -> None:
        self.store = store
        self.vocabulary = vocabulary
        self._id_index = vocabulary.encode(store.arbitration_id)

    def batch(self, graphs: NDArray[np.int64]) -> GraphBatch:
        """The given graphs, in the given order, as one batch on the CPU."""
        if not len(graphs):
            raise DatasetError("a batch needs at least one window")
        store = self.store
        nodes, node_counts = _rows(store.node_offsets, graphs)
        edges, edge_counts = _rows(store.edge_offsets, graphs)
        first_node = np.cumsum(node_counts) - node_counts
        shift = np.repeat(first_node, edge_counts)
        edge_index = np.stack([store.source[edges] + shift, store.target[edges] + shift])
        return GraphBatch(
            torch.from_numpy(self._id_index[nodes]),
            torch.from_numpy(store.x[nodes]),
            torch.from_numpy(edge_index),
            torch.from_numpy(store.edge_attr[edges]),
            torch.from_numpy(np.repeat(np.arange(len(graphs)), node_counts)),
            torch.from_numpy(store.label[graphs].astype(np.int64)),
            torch.from_numpy(store.node_label[nodes].astype(np.int64)),
        )


def _rows(offsets: NDArray[np.int64], graphs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of all nodes (or edges) of `graphs`, and how many each graph has."""
    starts, counts = offsets[graphs], offsets[graphs + 1] - offsets[graphs]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + within, counts


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:
        return np.zeros(shape, dtype)  # an empty file cannot be mapped
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not path.is_file() or path.stat().st_size != expected:
        raise CheckpointError(f"{path} is torn: expected {expected} bytes; delete {path.parent} and build the graphs again")
    return np.asarray(np.memmap(path, dtype, "r", shape=shape))

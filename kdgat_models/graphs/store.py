"""Graphs on disk: one memory-mapped file per column, with offsets per graph and per capture.

A store is a folder with `{column}.bin` files and `manifest.json` (dtypes, shapes, schema, captures).
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from kdgat_models.errors import CheckpointError, DatasetError
from kdgat_models.files import put_in_place, read_record, write_json
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.manifest import COLUMNS, MANIFEST, OFFSETS, CaptureEntry, StoreManifest
from kdgat_models.graphs.schema import FeatureSchema, SchemaRecord
from kdgat_models.graphs.splits import CALIBRATION, GAP
from kdgat_models.graphs.vocabulary import Vocabulary


class StoreWriter:
    """Appends arrays to the columns of a new store; `finish` makes it whole. Left without, as a context, it leaves nothing."""

    def __init__(self, folder: Path, schema: FeatureSchema) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)  # of an earlier try: it would not fit what is written now
        self.folder = folder
        self.schema = schema
        self.captures: list[CaptureEntry] = []
        self.attack_types: list[str] = []
        self._rows = dict.fromkeys(COLUMNS, 0)
        self._files = {name: (folder / f".{name}.bin").open("wb") for name in COLUMNS}
        self._digests = {name: hashlib.blake2b(digest_size=16) for name in COLUMNS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name, file in self._files.items():
            file.close()
            (self.folder / f".{name}.bin").unlink(missing_ok=True)  # there only if `finish` was not reached

    def append(self, **columns: NDArray[Any]) -> None:
        """Append rows to the named columns."""
        for name, values in columns.items():
            data = np.ascontiguousarray(values, dtype=COLUMNS[name].dtype)
            data.tofile(self._files[name])
            self._digests[name].update(data.data)
            self._rows[name] += len(data)

    def rows(self, column: str) -> int:
        """Number of rows that were appended to a column so far."""
        return self._rows[column]

    def attack_index(self, attack: str) -> int:
        """Index of an attack type in the manifest; a new one is added at the end."""
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
            put_in_place(self.folder / f".{name}.bin", self.folder / f"{name}.bin")
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
        """Open the store in `folder`.

        Raises:
            CheckpointError: there is none, or its manifest or what it says of each graph cannot be true; names file and field.
        """
        if not os.path.isfile(folder / MANIFEST):  # also if the path is none that a file can have
            raise CheckpointError(f"no graphs in {folder}: it has no {MANIFEST}; build them again")
        manifest = read_record(folder / MANIFEST, StoreManifest)
        self.folder = folder
        self.schema: SchemaRecord = manifest.graph_schema.record()
        self.attack_types = list(manifest.attack_types)
        self.captures = list(manifest.captures)
        for name, column in manifest.columns.items():
            setattr(self, name, _mapped(folder / f"{name}.bin", column.dtype, column.shape))
        self._require_sense(manifest)

    def __len__(self) -> int:
        return len(self.label)

    def _require_sense(self, manifest: StoreManifest) -> None:
        """Check what is known of each graph. Nodes and edges are checked when they are read: see `GraphData.batch`."""
        for name, per in OFFSETS.items():
            offsets = getattr(self, name)
            fits = offsets[0] == 0 and offsets[-1] == manifest.rows(per)
            self.require(name, fits and np.diff(offsets).min(initial=1) >= (per == "node"))
        sizes = [capture.graphs[1] - capture.graphs[0] for capture in self.captures]
        self.require("capture", np.array_equal(self.capture, np.repeat(np.arange(len(sizes)), sizes)))
        frames = np.array([capture.frames[1] - capture.frames[0] for capture in self.captures])
        self.require("first_frame", ((self.first_frame >= 0) & (self.first_frame < frames[self.capture])).all())
        self.require("label", self.label.max(initial=0) <= 1)
        self.require("role", self.role.max(initial=0) <= CALIBRATION)
        attacks = self.attack_type
        self.require("attack_type", attacks.min(initial=-1) >= -1 and attacks.max(initial=-1) < len(self.attack_types))
        for name in ("start_time", "end_time"):
            self.require(name, np.isfinite(getattr(self, name)).all())

    def require(self, column: str, sensible: bool | np.bool_) -> None:
        """Raise a CheckpointError that names `column` unless its values are `sensible`."""
        if not sensible:
            raise CheckpointError(
                f"{self.folder / column}.bin has values that no {column} can have: it was changed; build the graphs again"
            )

    def restricted(self, captures: Sequence[str]) -> "GraphStore":
        """The same store, in which the windows of other captures have no role: nothing is learnt or chosen on them."""
        wanted = np.isin([capture.name for capture in self.captures], list(captures))
        view = copy(self)
        view.role = np.where(wanted[self.capture], self.role, GAP)
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
        self.id_index = vocabulary.encode(store.arbitration_id)

    def batch(self, graphs: NDArray[np.int64]) -> GraphBatch:
        """The given graphs, in the given order, as one batch on the CPU.

        Raises:
            CheckpointError: an edge leaves its graph, or a feature is not finite: the store was changed.
        """
        if not len(graphs):
            raise DatasetError("a batch needs at least one window")
        store = self.store
        nodes, node_counts = _rows(store.node_offsets, graphs)
        edges, edge_counts = _rows(store.edge_offsets, graphs)
        first_node = np.cumsum(node_counts) - node_counts
        shift, size = np.repeat(first_node, edge_counts), np.repeat(node_counts, edge_counts)
        x, edge_attr, node_label = store.x[nodes], store.edge_attr[edges], store.node_label[nodes]
        ends = {name: getattr(store, name)[edges] for name in ("source", "target")}
        for name, values in ends.items():
            store.require(name, (values.view(np.uint16) < size).all())  # a negative one is above all sizes
        for name, values in (("x", x), ("edge_attr", edge_attr)):
            store.require(name, np.isfinite(values).all())
        store.require("node_label", node_label.max() <= 1)
        return GraphBatch(
            torch.from_numpy(self.id_index[nodes]),
            torch.from_numpy(x),
            torch.from_numpy(np.stack([ends["source"] + shift, ends["target"] + shift])),
            torch.from_numpy(edge_attr),
            torch.from_numpy(np.repeat(np.arange(len(graphs)), node_counts)),
            torch.from_numpy(store.label[graphs].astype(np.int64)),
            torch.from_numpy(node_label.astype(np.int64)),
        )


def _rows(offsets: NDArray[np.int64], graphs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of all nodes (or edges) of `graphs`, and how many each graph has."""
    starts, counts = offsets[graphs], offsets[graphs + 1] - offsets[graphs]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + within, counts


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if not path.is_file() or path.stat().st_size != expected:
        raise CheckpointError(f"{path} is torn: expected {expected} bytes; delete {path.parent} and build the graphs again")
    if not expected:
        return np.zeros(shape, dtype)  # an empty file cannot be mapped
    return np.asarray(np.memmap(path, dtype, "r", shape=shape))

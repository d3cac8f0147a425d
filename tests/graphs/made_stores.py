"""Small stores and captures that are made by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdgat_models.can.frames import ARROW_SCHEMA, Frames
from kdgat_models.graphs.manifest import COLUMNS, CaptureEntry
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.store import GraphStore, StoreWriter


def write_store(folder: Path, roles: list[int], labels: list[int]) -> GraphStore:
    """Windows of two nodes each: IDs 2i and 2i + 1."""
    schema, count = feature_schema("relative"), len(roles)
    with StoreWriter(folder, schema) as writer:
        assert [writer.attack_index(attack) for attack in ("none", "DoS", "none", "DoS")] == [0, 1, 0, 1]
        writer.captures.append(CaptureEntry("drive", "DoS", (0, count), (0, 4 * count), 0))
        columns = {name: np.zeros(count) for name, column in COLUMNS.items() if column.per == "graph"}
        columns |= {"role": np.array(roles), "label": np.array(labels), "attack_type": np.array(labels) * 2 - 1}
        columns |= {"node_offsets": 2 * np.arange(count), "edge_offsets": np.arange(count)}
        writer.append(**columns)
        writer.append(
            arbitration_id=np.arange(2 * count), x=np.zeros((2 * count, schema.continuous)), node_label=np.zeros(2 * count)
        )
        writer.append(source=np.zeros(count), target=np.ones(count), edge_attr=np.zeros((count, len(schema.edge_features))))
        writer.append(frame_label=np.zeros(4 * count))
        assert not (folder / "manifest.json").exists()
        writer.finish()
    return GraphStore(folder)


def write_capture(frames: Frames, path: Path) -> Path:
    """A Parquet file as ingest writes it."""
    payloads = [bytes(row[:dlc]) for row, dlc in zip(frames.payload, frames.dlc, strict=True)]
    flags = np.zeros(frames.size, bool)
    columns = [frames.timestamp, frames.arbitration_id, frames.dlc, payloads, frames.label, flags, flags, flags]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ARROW_SCHEMA, strict=True)]
    pq.write_table(pa.table(arrays, ARROW_SCHEMA), path)
    return path

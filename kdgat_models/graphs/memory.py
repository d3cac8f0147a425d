"""Graphs in memory that models read as they read those on disk."""

from pathlib import Path

import numpy as np

from kdgat_models.graphs.manifest import CaptureEntry
from kdgat_models.graphs.schema import FeatureSchema
from kdgat_models.graphs.splits import GAP
from kdgat_models.graphs.store import GraphStore
from kdgat_models.graphs.stream import StreamGraphs


class StreamStore(GraphStore):
    """The next graphs of a stream; numbers of windows in messages are those in the capture."""

    def __init__(self, name: str, schema: FeatureSchema, graphs: StreamGraphs) -> None:  # pyright: ignore[reportMissingSuperCall]
        count, topology, features = len(graphs), graphs.topology, graphs.features
        self.folder = Path(name)
        self.schema, self.attack_types = schema.describe(), []
        first, tail = -graphs.first_window, 0
        self.captures = [CaptureEntry(name, "unknown", (first, count), (0, graphs.frames.size), tail)]
        self.label, self.role = topology.label, np.full(count, GAP, np.uint8)
        self.attack_type, self.capture = np.full(count, -1, np.int16), np.zeros(count, np.int32)
        self.first_frame, self.start_time, self.end_time = graphs.first_frame, graphs.start_time, graphs.end_time
        self.node_offsets, self.edge_offsets = topology.node_offsets, topology.edge_offsets
        self.arbitration_id, self.node_label, self.x = topology.arbitration_id, topology.node_label, features.nodes
        self.source, self.target = topology.source.astype(np.int16), topology.target.astype(np.int16)
        self.edge_attr, self.frame_label = features.edges, graphs.frames.label

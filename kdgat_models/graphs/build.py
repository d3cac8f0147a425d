"""Captures -> a graph store, in chunks of windows, so that memory does not grow with a capture or with overlap."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config.schema import PreprocessingConfig
from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.can.ingest import attack_type
from kdgat_models.errors import DatasetError
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.splits import GAP, TRAIN, assign_roles
from kdgat_models.graphs.store import CaptureEntry, GraphStore, StoreWriter
from kdgat_models.graphs.topology import build_topology, window_starts
from kdgat_models.graphs.vocabulary import Vocabulary

CHUNK_FRAMES = 2**18


class BuildReport(NamedTuple):
    """What was built out of a list of captures."""

    captures: int
    frames: int
    windows: int
    attack_windows: int
    nodes: int
    edges: int
    tail_frames: int  # frames after the last whole window of their capture: in no graph
    too_short: list[str]  # captures shorter than one window
    digest: str


def build_store(captures: Sequence[Path], folder: Path, config: PreprocessingConfig, *, training: bool) -> BuildReport:
    """Build the graphs of `captures` (Parquet files of ingest) into the store `folder`.

    Args:
        captures: In the order in which they lie in the store.
        folder: New store.
        config: Window size, stride, feature schema and, for training captures, how windows are split.
        training: Whether windows get roles (train, validation, calibration); test windows have none.
    """
    writer = StoreWriter(folder, feature_schema(config.feature_schema))
    too_short = []
    for path in captures:
        frames = read_frames(path)
        if frames.size < config.window_size:
            too_short.append(path.stem)
        _append_capture(writer, path.stem, frames, config, training)
    digest = writer.finish()
    return BuildReport(
        captures=len(captures),
        frames=writer.rows("frame_label"),
        windows=writer.rows("label"),
        attack_windows=int(GraphStore(folder).label.sum()),
        nodes=writer.rows("arbitration_id"),
        edges=writer.rows("source"),
        tail_frames=sum(capture.tail_frames for capture in writer.captures),
        too_short=too_short,
        digest=digest,
    )


def _append_capture(writer: StoreWriter, name: str, frames: Frames, config: PreprocessingConfig, training: bool) -> None:
    schema, W = writer.schema, config.window_size
    starts = window_starts(frames.size, W, config.stride)
    roles = assign_roles(len(starts), config) if training else np.full(len(starts), GAP, np.uint8)
    attack = writer.attack_index(attack_type(name))
    first_graph, first_frame = writer.rows("label"), writer.rows("frame_label")
    chunk = max(CHUNK_FRAMES // W, 1)
    state = None
    for begin in range(0, len(starts), chunk):
        part = slice(begin, begin + chunk)
        topology = build_topology(frames, starts[part], W)
        features, state = schema.compute(frames, topology, state)
        writer.append(
            node_offsets=topology.node_offsets[:-1] + writer.rows("arbitration_id"),
            edge_offsets=topology.edge_offsets[:-1] + writer.rows("source"),
            label=topology.label,
            role=roles[part],
            attack_type=np.where(topology.label == 1, attack, -1),
            capture=np.full(len(topology.starts), len(writer.captures)),
            first_frame=topology.starts,
            start_time=frames.timestamp[topology.starts],
            end_time=frames.timestamp[topology.starts + W - 1],
        )
        writer.append(arbitration_id=topology.arbitration_id, node_label=topology.node_label, x=features.nodes)
        writer.append(source=topology.source, target=topology.target, edge_attr=features.edges)
    writer.append(frame_label=frames.label)
    covered = int(starts[-1]) + W if len(starts) else 0
    graphs, frame_range = (first_graph, writer.rows("label")), (first_frame, writer.rows("frame_label"))
    writer.captures.append(CaptureEntry(name, attack_type(name), graphs, frame_range, frames.size - covered))


def normal_training_vocabulary(store: GraphStore) -> Vocabulary:
    """IDs in the normal windows that models train on.

    Raises:
        DatasetError: there is no such window.
    """
    windows = store.windows(TRAIN, label=0)
    if not len(windows):
        raise DatasetError(
            "no normal training window: the training captures are shorter than a window, or every window has an attack "
            "frame. Add attack-free captures to train_01_attack_free, or lower preprocessing.window_size"
        )
    is_normal = np.zeros(len(store), bool)
    is_normal[windows] = True
    nodes = np.repeat(is_normal, np.diff(store.node_offsets))
    return Vocabulary.of(np.unique(store.arbitration_id[nodes]))

"""Captures -> a graph store, in chunks of windows, so that memory does not grow with a capture or with overlap."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.sections import AugmentationConfig, PreprocessingConfig
from kdgat_models.can.benign import vary
from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.can.injection import inject
from kdgat_models.can.naming import COPY, attack_type
from kdgat_models.graphs.manifest import CaptureEntry
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.splits import GAP, assign_roles
from kdgat_models.graphs.store import GraphStore, StoreWriter
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.graphs.topology import window_starts

SYNTHETIC = "synthetic"  # attack type of a copy


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
    untimed: list[str]  # captures whose timestamps tell nothing: their frames stand in for seconds
    digest: str


class NamedCapture(NamedTuple):
    """A Parquet file of ingest and what its capture is called in the store."""

    name: str
    path: Path
    attack: str  # type of the attack that it carries, or none


def named(path: Path) -> NamedCapture:
    """A capture that is called what its file is called."""
    return NamedCapture(path.stem, path, attack_type(path.stem))


def build_store(
    captures: Sequence[NamedCapture],
    folder: Path,
    config: PreprocessingConfig,
    augmentation: AugmentationConfig | None = None,
    *,
    training: bool,
) -> BuildReport:
    """Build the graphs of `captures` into the store `folder`.

    Args:
        captures: In the order in which they lie in the store.
        folder: New store.
        config: Window size, stride, feature schema and, for training captures, how windows are split.
        augmentation: Synthetic attacks in copies of attack-free training captures, each behind its original.
        training: Whether windows get roles (train, validation, calibration); test windows have none.

    Raises:
        CaptureError: a file is not a capture as ingest writes it.
        NonFiniteError: a feature is not finite; names capture and window.
    """
    too_short, untimed = [], []
    with StoreWriter(folder, feature_schema(config.feature_schema)) as writer:
        for capture in captures:
            frames = read_frames(capture.path)
            if frames.size < config.window_size:
                too_short.append(capture.name)
            starts = window_starts(frames.size, config.window_size, config.stride)
            roles = assign_roles(len(starts), config) if training else np.full(len(starts), GAP)
            if not _append_capture(writer, capture, frames, roles, config):
                untimed.append(capture.name)
            if training and augmentation and not frames.label.any() and len(starts):
                _append_copies(writer, capture, frames, (starts, roles), config, augmentation)
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
        untimed=untimed,
        digest=digest,
    )


def _append_copies(
    writer: StoreWriter,
    capture: NamedCapture,
    frames: Frames,
    windows: tuple[NDArray[np.int64], NDArray[np.uint8]],
    config: PreprocessingConfig,
    augmentation: AugmentationConfig,
) -> None:
    """Copies with synthetic attacks. Their windows have the role that the same traffic has in the original."""
    for copy in range(augmentation.copies):
        # The name is part of the seed: the same capture gets the same attacks, whatever lies beside it.
        generator = np.random.default_rng([augmentation.seed, copy, *capture.name.encode()])
        varied = vary(frames, generator) if augmentation.events else frames
        attacked = inject(varied, generator, augmentation.families)
        starts = window_starts(attacked.size, config.window_size, config.stride)
        roles = _roles_at(frames, *windows, attacked, starts, config.window_size)
        copied = NamedCapture(f"{capture.name}{COPY}{copy + 1}", capture.path, SYNTHETIC)
        _append_capture(writer, copied, attacked, roles, config)


def _roles_at(
    frames: Frames,
    starts: NDArray[np.int64],
    roles: NDArray[np.uint8],
    attacked: Frames,
    copied: NDArray[np.int64],
    window_size: int,
) -> NDArray[np.uint8]:
    """Role of each window of an attacked copy: that of the original's windows at its begin and end, GAP if they differ."""
    times = frames.timestamp[starts]
    places = []
    for edge in (copied, copied + window_size - 1):
        if tells_time(frames.timestamp):
            places.append(np.searchsorted(times, attacked.timestamp[edge], side="right") - 1)
        else:  # by position, which injected frames have shifted
            places.append(edge * len(starts) // max(attacked.size, 1))
    first, last = (roles[np.clip(place, 0, len(roles) - 1)] for place in places)
    return np.where(first == last, first, GAP)


def _append_capture(
    writer: StoreWriter,
    capture: NamedCapture,
    frames: Frames,
    roles: NDArray[np.uint8],
    config: PreprocessingConfig,
) -> bool:
    """Append the graphs and labels of a capture, `roles` [windows]; returns whether its timestamps tell time."""
    attack = writer.attack_index(capture.attack)
    first_graph, first_frame = writer.rows("label"), writer.rows("frame_label")
    stream = GraphStream(capture.name, writer.schema, config.window_size, config.stride)
    for graphs in chain(stream.push(frames), stream.finish()):
        topology = graphs.topology
        writer.append(
            node_offsets=topology.node_offsets[:-1] + writer.rows("arbitration_id"),
            edge_offsets=topology.edge_offsets[:-1] + writer.rows("source"),
            label=topology.label,
            role=roles[graphs.first_window : graphs.first_window + len(graphs)],
            attack_type=np.where(topology.label == 1, attack, -1),
            capture=np.full(len(graphs), len(writer.captures)),
            first_frame=graphs.first_frame,
            start_time=graphs.start_time,
            end_time=graphs.end_time,
        )
        writer.append(arbitration_id=topology.arbitration_id, node_label=topology.node_label, x=graphs.features.nodes)
        writer.append(source=topology.source, target=topology.target, edge_attr=graphs.features.edges)
    writer.append(frame_label=frames.label)
    graph_range, frame_range = (first_graph, writer.rows("label")), (first_frame, writer.rows("frame_label"))
    writer.captures.append(CaptureEntry(capture.name, capture.attack, graph_range, frame_range, stream.tail_frames))
    return not stream.untimed

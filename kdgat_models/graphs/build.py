"""Captures -> a graph store, in chunks of windows, so that memory does not grow with a capture or with overlap."""

from collections.abc import Sequence
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
from kdgat_models.graphs.finite import require_finite_features
from kdgat_models.graphs.manifest import CaptureEntry
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.splits import GAP, assign_roles
from kdgat_models.graphs.store import GraphStore, StoreWriter
from kdgat_models.graphs.topology import build_topology, window_starts

CHUNK_FRAMES = 2**18
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
            if not tells_time(frames.timestamp):
                untimed.append(capture.name)
            if frames.size < config.window_size:
                too_short.append(capture.name)
            starts = window_starts(frames.size, config.window_size, config.stride)
            roles = assign_roles(len(starts), config) if training else np.full(len(starts), GAP)
            _append_capture(writer, capture.name, capture.attack, frames, starts, roles, config)
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
        _append_capture(writer, f"{capture.name}{COPY}{copy + 1}", SYNTHETIC, attacked, starts, roles, config)


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
    name: str,
    attack_name: str,
    frames: Frames,
    starts: NDArray[np.int64],
    roles: NDArray[np.uint8],
    config: PreprocessingConfig,
) -> None:
    schema, W = writer.schema, config.window_size
    attack = writer.attack_index(attack_name)
    first_graph, first_frame = writer.rows("label"), writer.rows("frame_label")
    chunk = max(CHUNK_FRAMES // W, 1)
    state = None
    for begin in range(0, len(starts), chunk):
        part = slice(begin, begin + chunk)
        topology = build_topology(frames, starts[part], W)
        features, state = schema.compute(frames, topology, state)
        require_finite_features(name, begin, schema, topology, features)
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
    writer.captures.append(CaptureEntry(name, attack_name, graphs, frame_range, frames.size - covered))

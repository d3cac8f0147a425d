"""Frames as they come -> the graphs of the windows that they complete.

This is the only way from frames to graphs: of a recording in parts, and of a live bus frame by frame. However the frames are
cut, the graphs are the same, bit for bit.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import Frames, joined
from kdgat_models.errors import ProfileError
from kdgat_models.graphs.finite import require_finite_features
from kdgat_models.graphs.schema import Features, FeatureSchema
from kdgat_models.graphs.topology import Topology, build_topology, window_starts

HELD_FRAMES = 2048  # while the first so many frames all have one time, nobody knows whether the timestamps tell time
CHUNK_WINDOWS = 2048  # of which features are made at once: more take memory and no less time


class StreamGraphs(NamedTuple):
    """The next G windows of a capture, with topology and features of all their N nodes and E edges."""

    topology: Topology
    features: Features
    start_time: NDArray[np.float64]  # [G], s, first frame
    end_time: NDArray[np.float64]  # [G], s, last frame
    first_window: int  # number of the first of these windows in the capture
    frames: Frames  # that the windows were cut from: `topology.starts` are rows of these

    @property
    def first_frame(self) -> NDArray[np.int64]:
        """[G], number of the first frame of each window in the capture."""
        return self.topology.starts + self.topology.origin

    def __len__(self) -> int:
        return len(self.topology.starts)


class GraphStream:
    """Takes the frames of one capture and gives graphs; keeps the frames that later windows need, and the schema's state."""

    def __init__(self, name: str, schema: FeatureSchema, window_size: int, stride: int, state: Any = None) -> None:
        """Begin a capture.

        Args:
            name: Of the capture, for messages.
            schema: Of the features.
            window_size: Frames in a window.
            stride: Frames from the begin of a window to that of the next.
            state: Of the schema, to start from, which was learnt with a clock; None: nothing is known of the vehicle.
        """
        self.name, self.schema, self.window_size, self.stride = name, schema, window_size, stride
        self.state = state
        self.windows = 0  # so far
        self.received = 0  # frames so far
        self._timed: bool | None = None  # whether timestamps tell time; None: not known yet
        self._kept: Frames | None = None
        self._origin = 0  # frames of the capture before those that are kept

    @property
    def untimed(self) -> bool:
        """Whether the timestamps tell nothing, so that frames stand in for seconds; known after the first windows."""
        return self._timed is False

    @property
    def tail_frames(self) -> int:
        """Frames after the last whole window: in no graph yet."""
        return self.received - ((self.windows - 1) * self.stride + self.window_size if self.windows else 0)

    def push(self, frames: Frames) -> list[StreamGraphs]:
        """Take the next frames of the capture; returns the graphs of the windows that they complete, in parts.

        Raises:
            NonFiniteError: a feature is not finite; names capture and window.
            ProfileError: it starts from a state that was learnt, and its timestamps tell no time.
        """
        self.received += frames.size
        self._kept = frames if self._kept is None else joined([self._kept, frames])
        if self._timed is None and not self._tells():
            return []
        return self._completed()

    def finish(self) -> list[StreamGraphs]:
        """The capture ends here: the graphs that were held back because no two frames differed in time; raises as `push`."""
        if self._timed is not None or self._kept is None:
            return []
        self._begin(tells_time(self._kept.timestamp))
        return self._completed()

    def _tells(self) -> bool:
        """Whether it is known by now if timestamps tell time."""
        kept = self._kept
        assert kept is not None
        told = tells_time(kept.timestamp[:HELD_FRAMES])
        if not told and kept.size < HELD_FRAMES:
            return False
        self._begin(told)
        return True

    def _begin(self, timed: bool) -> None:
        if self.state is not None and not timed:
            raise ProfileError(
                f"{self.name}: the timestamps tell no time, and what was learnt of the vehicle is in seconds; "
                "leave the profile out"
            )
        self._timed = timed
        self.state = self.schema.begin(timed) if self.state is None else self.state

    def _completed(self) -> list[StreamGraphs]:
        """Graphs of all windows that are whole, and nothing kept that no later window needs."""
        kept, W = self._kept, self.window_size
        assert kept is not None
        first = self.windows * self.stride - self._origin  # row of the next window's first frame
        starts = first + window_starts(max(kept.size - first, 0), W, self.stride)
        parts = range(0, len(starts), CHUNK_WINDOWS)
        made = [self._graphs(kept, starts[begin : begin + CHUNK_WINDOWS]) for begin in parts]
        if made:
            # Windows that leave frames out between them do not, to a schema that remembers: it wants those, too.
            done = min(int(starts[-1]) + W, int(starts[-1]) + self.stride)
            rest = kept.rows(slice(done, None))
            self._kept, self._origin = Frames._make(column.copy() for column in rest), self._origin + done
        return made

    def _graphs(self, frames: Frames, starts: NDArray[np.int64]) -> StreamGraphs:
        topology = build_topology(frames, starts, self.window_size, self._origin)
        features, self.state = self.schema.compute(frames, topology, self.state)
        require_finite_features(self.name, self.windows, self.schema, topology, features)
        first_window, ends = self.windows, starts + self.window_size - 1
        self.windows += len(starts)
        return StreamGraphs(topology, features, frames.timestamp[starts], frames.timestamp[ends], first_window, frames)

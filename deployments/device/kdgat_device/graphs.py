"""Frames -> the graphs of whole windows, by the compiled feature code (a library of C that ctypes opens)."""

import ctypes
import sysconfig
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW, FEATURES, EDGE_FEATURES = 100, 41, 5  # as in setup.py


class Graph(NamedTuple):
    """The graph of one window with N nodes and E edges."""

    begin: float  # s, first frame
    end: float  # s, last frame
    arbitration_id: NDArray[np.uint32]  # [N]
    x: NDArray[np.float32]  # [N, features]
    edge_index: NDArray[np.int64]  # [2, E]
    edge_attr: NDArray[np.float32]  # [E, edge features]


class _Verdict(ctypes.Structure):
    _fields_ = (
        ("begin", ctypes.c_double),
        ("end", ctypes.c_double),
        ("normal", ctypes.c_float),
        ("attacked", ctypes.c_float),
        ("score", ctypes.c_double),
        ("attack", ctypes.c_int32),
        ("suspect", ctypes.c_uint32),
        ("suspect_logit", ctypes.c_float),
    )


class _Window(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.POINTER(ctypes.c_float)) for name in ("x", "edge_attr", "node_logit")),
        ("node_id", ctypes.POINTER(ctypes.c_uint32)),
        *((name, ctypes.POINTER(ctypes.c_int32)) for name in ("source", "target")),
        ("edges", ctypes.c_int32),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(Path(__file__).with_name(f"features{sysconfig.get_config_var('EXT_SUFFIX')}")))
    library.kdgat_state_size.restype = ctypes.c_size_t
    pointer = ctypes.c_void_p
    library.kdgat_push.argtypes = [pointer, ctypes.c_double, ctypes.c_uint32, ctypes.c_uint8, ctypes.c_char_p, pointer]
    return library


class GraphStream:
    """Takes the frames of one bus; keeps what is known of each arbitration ID."""

    def __init__(self) -> None:
        self._library = _library()
        self._state = ctypes.create_string_buffer(self._library.kdgat_state_size())
        self._library.kdgat_begin(self._state)
        self._verdict, self._window = _Verdict(), _Window()

    def push(self, time: float, arbitration_id: int, dlc: int, payload: bytes) -> Graph | None:
        """Take the next frame; returns the graph of the window that it completes."""
        if len(payload) > 8:
            raise ValueError(f"a frame of classical CAN carries at most 8 bytes, not {len(payload)}")
        whole = payload.ljust(8, b"\0")
        if not self._library.kdgat_push(self._state, time, arbitration_id, dlc, whole, ctypes.byref(self._verdict)):
            return None
        nodes = self._library.kdgat_graph(self._state, ctypes.byref(self._window))
        window, edges = self._window, self._window.edges
        ends = [np.ctypeslib.as_array(end, (edges,)) for end in (window.source, window.target)]
        return Graph(
            self._verdict.begin,
            self._verdict.end,
            np.ctypeslib.as_array(window.node_id, (nodes,)).copy(),
            np.ctypeslib.as_array(window.x, (nodes, FEATURES)).copy(),
            np.stack(ends).astype(np.int64),
            np.ctypeslib.as_array(window.edge_attr, (edges, EDGE_FEATURES)).copy(),
        )

"""A generated C file, compiled here and driven from Python."""

import ctypes
import subprocess
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

NUMBERS = count()
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")


class Verdict(ctypes.Structure):
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


class Graph(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.POINTER(ctypes.c_float)) for name in ("x", "edge_attr", "node_logit")),
        ("node_id", ctypes.POINTER(ctypes.c_uint32)),
        *((name, ctypes.POINTER(ctypes.c_int32)) for name in ("source", "target")),
        ("edges", ctypes.c_int32),
    )


class Window(NamedTuple):
    verdict: Verdict
    x: np.ndarray
    edge_attr: np.ndarray
    node_logit: np.ndarray


def compiled(source: Path, *options: str) -> ctypes.CDLL:
    library = source.with_suffix(f".{next(NUMBERS)}.so")  # a process opens a name once
    command = ["cc", *(options or ("-O2",)), *WARNINGS, "-shared", "-fPIC", "-o", str(library), str(source), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    opened = ctypes.CDLL(str(library))
    opened.kdgat_state_size.restype = ctypes.c_size_t
    opened.kdgat_push.argtypes = [
        ctypes.c_void_p, ctypes.c_double, ctypes.c_uint32, ctypes.c_uint8, ctypes.c_char_p, ctypes.POINTER(Verdict)
    ]  # fmt: skip
    return opened


def verdicts(library: ctypes.CDLL, frames) -> list[Verdict]:
    """What the library says of each window of a capture, and nothing of how it came to it."""
    state, verdict = ctypes.create_string_buffer(library.kdgat_state_size()), Verdict()
    library.kdgat_begin(state)
    rows = zip(
        frames.timestamp.tolist(),
        frames.arbitration_id.tolist(),
        frames.dlc.tolist(),
        map(bytes, frames.payload),
        strict=True,
    )
    push = library.kdgat_push
    return [Verdict.from_buffer_copy(verdict) for row in rows if push(state, *row, ctypes.byref(verdict))]


def windows(library: ctypes.CDLL, frames, features: int, edge_features: int) -> list[Window]:
    """What the library says of each window of a capture."""
    state = ctypes.create_string_buffer(library.kdgat_state_size())
    library.kdgat_begin(state)
    made, verdict, graph = [], Verdict(), Graph()
    for time, identifier, dlc, payload in zip(frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload, strict=True):
        if not library.kdgat_push(state, float(time), int(identifier), int(dlc), payload.tobytes(), ctypes.byref(verdict)):
            continue
        nodes = library.kdgat_graph(state, ctypes.byref(graph))
        shapes = {"x": (nodes, features), "edge_attr": (graph.edges, edge_features), "node_logit": (nodes,)}
        arrays = (np.ctypeslib.as_array(getattr(graph, name), shape).copy() for name, shape in shapes.items())
        made.append(Window(Verdict.from_buffer_copy(verdict), *arrays))
    return made

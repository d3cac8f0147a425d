"""What is odd about an arbitration ID in a window, in words: from the same features that models read."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.naming import id_text
from kdgat_models.graphs.relative import MATURITY, MAXIMUM, MISSED, RELATIVE, SURPLUS
from kdgat_models.graphs.relative_measures import DLC, EARLY, FIRST, FLIPS, NOVELTY, STUCK, SUCCESSOR
from kdgat_models.graphs.stream import StreamGraphs

NEW_PERIODS = 2.0  # log2 of the periods that an ID did not come before it was first seen
TOO_OFTEN = 1.4  # times
CLEARLY_EARLY = 1.0  # log2 of the period over the gap
MOST_OF_ONE = 3  # findings about one ID
ODDEST = 99.0  # strength of an ID that should not be there at all


class Finding(NamedTuple):
    """One odd thing about one arbitration ID."""

    kind: str  # for programs: unknown_id, too_often, silent, length, frozen, counter, values, bits, unlike
    arbitration_id: int
    strength: float  # how odd, log2; to compare findings of one kind about one ID
    words: str


class Node(NamedTuple):
    """One ID in one window."""

    arbitration_id: int
    frames: int  # of this ID in the window
    features: NDArray[np.float32]  # of schema `relative`


Symptom = Callable[[Node], tuple[float, str]]  # -> strength, words about "0x1A0"; 0: nothing is odd


def unknown_id(node: Node) -> tuple[float, str]:
    """An ID that the vehicle does not have."""
    x = node.features
    new = x[MAXIMUM + FIRST] > 0 and x[MATURITY] < 0.2
    return (ODDEST if new or x[MISSED] > NEW_PERIODS else 0.0), "unknown ID: it was never seen before"


def too_often(node: Node) -> tuple[float, str]:
    """More frames than its period allows."""
    expected = expected_frames(node.frames, float(node.features[SURPLUS]))
    times = node.frames / max(expected, 0.5)
    if node.features[SURPLUS] > 0 and times >= TOO_OFTEN:
        return math.log2(times) + 2.0, f"comes {times:.1f} times too often"
    early = float(node.features[MAXIMUM + EARLY])
    return (early if early >= CLEARLY_EARLY else 0.0), f"comes after 1/{2**early:.0f} of its period"


def _measure(number: int, above: float, words: str) -> Symptom:
    def symptom(node: Node) -> tuple[float, str]:
        value = float(node.features[MAXIMUM + number])
        return (value if value > above else 0.0), words

    return symptom


# In the order in which they are told: what an ID does on the bus before what its payload does.
SYMPTOMS: dict[str, Symptom] = {
    "unknown_id": unknown_id,
    "too_often": too_often,
    "length": _measure(DLC, 0.0, "its length (DLC) changed"),
    "frozen": _measure(STUCK, 1.0, "its payload stopped changing"),
    "counter": _measure(SUCCESSOR, 2.0, "its counter or another sequence in its payload does not go on as before"),
    "values": _measure(NOVELTY, 2.0, "its payload has values that it never had"),
    "bits": _measure(FLIPS, 2.0, "bits of its payload change that seldom did"),
}


def expected_frames(frames: int, surplus: float) -> float:
    """Frames in a window that the period of an ID lets expect, from their number and the feature `surplus`.

    surplus = log2 z with z = (frames - expected) / sqrt(expected + 1), where that is above one.
    """
    if surplus <= 0:
        return float(frames)
    z = 2.0**surplus
    root = (math.sqrt(z * z + 4.0 * (frames + 1.0)) - z) / 2.0
    return max(root * root - 1.0, 0.0)


def findings_of(graphs: StreamGraphs, window: int, row: int) -> list[Finding]:
    """What is odd about a node of a window; one finding that says so if nothing is known to be.

    Args:
        graphs: Of a stream.
        window: Number among them.
        row: Of the node.
    """
    place = row - int(graphs.topology.node_offsets[window])
    frames = int((graphs.topology.frame_node[window] == place).sum())
    node = Node(int(graphs.topology.arbitration_id[row]), frames, graphs.features.nodes[row])
    return _about(node) if graphs.features.nodes.shape[1] == RELATIVE.continuous else [_unlike(node)]


def silences(graphs: StreamGraphs, window: int) -> list[Finding]:
    """IDs that do not come any more as a window ends."""
    evidence = graphs.features.evidence
    if evidence is None:
        return []
    rows = zip(evidence.silent[window].tolist(), evidence.silent_for[window], evidence.gap[window], strict=True)
    return [
        Finding(
            "silent",
            identifier,
            math.log2(since / max(gap, 1e-6)),
            f"{id_text(identifier)} fell silent {_seconds(since)} ago; its longest gap before was {_seconds(gap)}",
        )
        for identifier, since, gap in rows
        if identifier >= 0
    ]


def _about(node: Node) -> list[Finding]:
    judged = [(kind, *symptom(node)) for kind, symptom in SYMPTOMS.items()]
    odd = [item for item in judged if item[1] > 0][:MOST_OF_ONE]
    name = id_text(node.arbitration_id)
    made = [Finding(kind, node.arbitration_id, strength, f"{name}: {words}") for kind, strength, words in odd]
    return made or [_unlike(node)]


def _unlike(node: Node) -> Finding:
    name = id_text(node.arbitration_id)
    return Finding("unlike", node.arbitration_id, 0.0, f"{name}: unlike normal traffic as a whole, no single thing stands out")


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.0f} ms"

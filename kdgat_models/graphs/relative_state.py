"""What schema `relative` remembers of a capture: the norms of every arbitration ID, learnt from its own past.

The state is carried from one stretch of frames to the next, so that a capture in one piece, in chunks, or frame by frame
from a live bus gives the same features.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.frames import PAYLOAD_BYTES

BITS = 8 * (PAYLOAD_BYTES + 1)  # of the payload, and of the XOR of its bytes: a checksum that is one stays constant
NIBBLES = 2 * PAYLOAD_BYTES
PAIR_SLOTS = 2**16  # hashed table of transition counts; a collision only blunts the surprise of two edges


class IdNorms(NamedTuple):
    """Columns over K slots, one for each arbitration ID, in the order in which the IDs were first seen."""

    count: NDArray[np.int64]  # [K], frames so far
    born: NDArray[np.float64]  # [K], s after the start of the capture
    last: NDArray[np.float64]  # [K], s, last frame
    scheduled: NDArray[np.float64]  # [K], s, last frame that was not early
    period: NDArray[np.float64]  # [K], robust running period, log2 s
    jitter: NDArray[np.float64]  # [K], running mean of |log2(gap / period)|
    early: NDArray[np.float64]  # [K], running share of early frames
    doubted: NDArray[np.float64]  # [K], s, last early frame that was not believed; -1: none since the last one on time
    doubts: NDArray[np.float64]  # [K], number of such frames
    resets: NDArray[np.float64]  # [K], number of those after which the ID kept time with them: events, not intruders
    trust: NDArray[np.float64]  # [K], sum of the weights with which the norms below were learnt
    dlc: NDArray[np.uint8]  # [K], of the last frame that was not early
    payload: NDArray[np.uint8]  # [K, 8], of the last frame that was not early
    doubted_payload: NDArray[np.uint8]  # [K, 8]
    doubted_row: NDArray[np.int64]  # [K], number of that frame in the capture
    hamming: NDArray[np.float32]  # [K, 2], running mean and mean square of the Hamming distance, bits
    surprisal: NDArray[np.float32]  # [K, 2], the same of the surprisal of the bit flips
    misses: NDArray[np.float32]  # [K, 2], the same of the surprisal of the successors
    record: NDArray[np.float32]  # [K], largest surprisal of a payload so far, bits
    flips: NDArray[np.float32]  # [K, BITS], weight of the flips of each bit
    seen: NDArray[np.uint32]  # [K, 8, 8], bitmap of the values that each byte has had
    novel: NDArray[np.float32]  # [K, 8], weight of frames with a value that the byte had never had
    successor: NDArray[np.uint8]  # [K, 16, 16], value of a nibble that followed each of its values; 255: none yet
    hits: NDArray[np.float32]  # [K, 16], weight of the frames in which the successor came as before
    run: NDArray[np.int64]  # [K], frames since the payload changed
    longest: NDArray[np.int64]  # [K], longest such run before this one


class RelativeState(NamedTuple):
    """All that is carried; `advance` in relative_measures.py returns the next one and changes this one's arrays."""

    slots: dict[int, int]  # slot of an arbitration ID
    norms: IdNorms
    pairs: NDArray[np.float32]  # [2, PAIR_SLOTS], hashed counts of an ID, and of an ID after another
    bus: NDArray[np.float64]  # see BUS
    measures: NDArray[np.float32]  # [k, measures] of the last frames, which overlapping windows need again
    next_frame: int  # first frame of the capture that was not yet seen

    @classmethod
    def fresh(cls, measures: int) -> "RelativeState":
        """The state before the first frame."""
        return cls({}, _empty_norms(0), np.zeros((2, PAIR_SLOTS), np.float32), np.zeros(len(BUS)), np.zeros((0, measures), np.float32), 0)


# Scalars of the whole bus.
BUS = ("frames", "start", "last_slot", "window_span", "windows", "transition")


def _empty_norms(slots: int) -> IdNorms:
    K, B = slots, PAYLOAD_BYTES
    return IdNorms(
        np.zeros(K, np.int64),
        *(np.zeros(K) for _ in range(10)),
        np.zeros(K, np.uint8),
        np.zeros((K, B), np.uint8),
        np.zeros((K, B), np.uint8),
        np.zeros(K, np.int64),
        np.zeros((K, 2), np.float32),
        np.zeros((K, 2), np.float32),
        np.zeros((K, 2), np.float32),
        np.zeros(K, np.float32),
        np.zeros((K, BITS), np.float32),
        np.zeros((K, B, 8), np.uint32),
        np.zeros((K, B), np.float32),
        np.full((K, NIBBLES, 16), 255, np.uint8),
        np.zeros((K, NIBBLES), np.float32),
        np.zeros(K, np.int64),
        np.zeros(K, np.int64),
    )


def with_room(state: RelativeState, arbitration_id: NDArray[np.uint32]) -> tuple[RelativeState, NDArray[np.int32]]:
    """`state` with a slot for every ID in `arbitration_id` [n], new ones in order of appearance, and the slot of each frame."""
    unique, first, inverse = np.unique(arbitration_id, return_index=True, return_inverse=True)
    slots = dict(state.slots)
    for place in np.argsort(first, kind="stable"):
        slots.setdefault(int(unique[place]), len(slots))
    norms = state.norms
    if len(slots) > len(norms.count):
        more = _empty_norms(max(len(slots), 2 * len(norms.count), 64) - len(norms.count))
        norms = IdNorms(*(np.concatenate(pair) for pair in zip(norms, more, strict=True)))
    of_unique = np.array([slots[int(identifier)] for identifier in unique], np.int32)
    return state._replace(slots=slots, norms=norms), of_unique[inverse.ravel()]

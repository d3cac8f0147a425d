"""What schema `relative` remembers of a capture: the norms of every arbitration ID, learnt from its own past.

The state is carried from one stretch of frames to the next, so that a capture in one piece, in chunks, or frame by frame
from a live bus gives the same features.
"""

from typing import Any, NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.frames import PAYLOAD_BYTES

BITS = 8 * (PAYLOAD_BYTES + 1)  # of the payload, and of the XOR of its bytes: a checksum that is one stays constant
NIBBLES = 2 * PAYLOAD_BYTES
PAIR_SLOTS = 2**16  # hashed table of transition counts; a collision only blunts the surprise of two edges


# One record for each arbitration ID, in the order in which the IDs were first seen. A record lies in one piece of memory,
# and a compiled function takes it as one pointer: as arrays of their own, the fields cost three times the whole computation.
_FIELDS = np.dtype(
    [
        ("count", np.int64),  # frames so far
        (
            "born",
            np.float64,
        ),  # s, first frame; this and all times below count from the start of the capture, or of the learning
        ("last", np.float64),  # s, last frame
        ("scheduled", np.float64),  # s, last frame that was on time
        ("trust", np.float64),  # number of frames that set the norms: those on time
        ("period", np.float64),  # robust running period, log2 s
        ("jitter", np.float64),  # running mean of |log2(gap / period)|
        ("early", np.float64),  # running share of early frames
        ("doubted", np.float64),  # s, last early frame that was not believed; -1: none since the last one on time
        ("doubted_frame", np.int64),  # its number in the capture
        ("doubts", np.float64),  # number of such frames
        ("resets", np.float64),  # number of those after which the ID kept time with them: events, not intruders
        ("run", np.int64),  # frames since the payload changed
        ("longest_gap", np.float64),  # s, between two frames of it
        ("longest", np.int64),  # longest such run before this one
        ("record", np.float32),  # largest surprisal of a payload so far, bits
        ("hamming", np.float32, 2),  # running mean and mean square of the Hamming distance, bits
        ("surprisal", np.float32, 2),  # the same of the surprisal of the bit flips
        ("misses", np.float32, 2),  # the same of the surprisal of the successors
        ("novel", np.float32, PAYLOAD_BYTES),  # running share of frames with a value that the byte had never had
        ("hits", np.float32, NIBBLES),  # running share of frames in which the successor came as before
        ("flips", np.float32, BITS),  # running share of frames in which each bit flips
        ("seen", np.uint32, 8 * PAYLOAD_BYTES),  # bitmap of the values that each byte has had
        ("successor", np.uint8, 16 * NIBBLES),  # value + 1 of a nibble that followed each of its values; 0: none yet
        ("payload", np.uint8, PAYLOAD_BYTES),  # of the last frame that was on time
        ("doubted_payload", np.uint8, PAYLOAD_BYTES),
        ("dlc", np.uint8),  # of the last frame that was on time
        ("heard", np.uint8),  # 1: in this capture; 0: only in the traffic that the profile of the vehicle was learnt from
    ],
    align=True,
)
# As a record, so that fields are attributes also where nothing is compiled (NUMBA_DISABLE_JIT=1).
NORMS = np.dtype((np.record, _FIELDS))
# What is known of the bus as a whole; all of it is counted or summed in floating point.
BUS = np.dtype(
    (
        np.record,
        [
            ("frames", np.float64),  # so far
            ("begun", np.float64),  # 1 once the capture has had a frame
            ("start", np.float64),  # s, time of the first frame
            (
                "learnt",
                np.float64,
            ),  # s of traffic before this capture, from the profile of the vehicle: its clock goes on there
            ("last_slot", np.float64),  # 1 + slot of the ID of the last frame; 0: there was none
            ("window_span", np.float64),  # s, sum over the windows so far
            ("windows", np.float64),  # so far
            ("transition", np.float64),  # running mean of the surprisal of transitions, bits
        ],
    )
)
FOLLOWED, FOLLOWS = 0, 1  # rows of the table of transitions: how often an ID had a successor, and how often it had this one
MEAN, MEAN_SQUARE = 0, 1  # of running moments

# numpy and numba know the fields of records, type checkers do not.
Norm: TypeAlias = Any  # one record of NORMS
Norms: TypeAlias = Any  # [K] of them
Bus: TypeAlias = Any  # the record of BUS
# Of n frames: time [n], s; slot of the ID [n]; DLC [n]; payload [n, 8].
FrameColumns: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint8]]


class RelativeState(NamedTuple):
    """All that is carried; `compute` in relative.py returns the next one and changes the arrays of this one."""

    slots: dict[int, int]  # slot of an arbitration ID
    norms: NDArray[Any]  # [K], NORMS; those beyond the last slot are room to grow
    pairs: NDArray[np.float32]  # [2, PAIR_SLOTS], hashed counts: see FOLLOWED, FOLLOWS
    bus: NDArray[Any]  # [1], BUS
    measures: NDArray[np.float32]  # [k, measures] of the last frames, which overlapping windows need again
    next_frame: int  # first frame of the capture that was not yet seen
    timed: bool  # False: the timestamps tell nothing, frames are counted instead

    @classmethod
    def fresh(cls, measures: int, timed: bool) -> "RelativeState":
        """The state before the first frame."""
        return cls(
            {},
            np.zeros(0, NORMS),
            np.zeros((2, PAIR_SLOTS), np.float32),
            np.zeros(1, BUS),
            np.zeros((0, measures), np.float32),
            0,
            timed,
        )

    def next_capture(self) -> "RelativeState":
        """The state in which another capture of the same vehicle starts: all that was learnt, and nothing of when frames came.

        The arrays are copies. The clock goes on where this capture ended, so that what comes new is new to what was learnt.
        """
        norms, bus = self.norms[: len(self.slots)].copy(), self.bus.copy()
        learnt = max((float(norm.last) for norm in norms), default=0.0)
        norms["heard"], norms["last"], norms["scheduled"], norms["doubted"], norms["run"] = 0, learnt, learnt, -1.0, 0
        bus["learnt"], bus["begun"], bus["last_slot"] = learnt, 0.0, 0.0
        return RelativeState(dict(self.slots), norms, self.pairs.copy(), bus, self.measures[:0], 0, self.timed)


@numba.njit(cache=True, nogil=True)
def pair_row(previous: Any) -> Any:
    """Where it is counted how often the ID in slot `previous`, one or an array of them, was followed."""
    return (previous * 2654435761) % PAIR_SLOTS


@numba.njit(cache=True, nogil=True)
def pair_cell(previous: Any, following: Any) -> Any:
    """Where it is counted how often the ID in slot `previous` was followed by that in slot `following`; likewise arrays."""
    return (previous * 2654435761 + (following + 1) * 40503) % PAIR_SLOTS


def with_room(state: RelativeState, arbitration_id: NDArray[np.uint32]) -> tuple[RelativeState, NDArray[np.int32]]:
    """`state` with a slot for every ID in `arbitration_id` [n], new ones in order of appearance, and the slot of each frame."""
    unique, first, inverse = np.unique(arbitration_id, return_index=True, return_inverse=True)
    slots = dict(state.slots)
    for place in np.argsort(first, kind="stable"):
        slots.setdefault(int(unique[place]), len(slots))
    norms = state.norms
    if len(slots) > len(norms):
        more = np.zeros(max(len(slots), 2 * len(norms), 64) - len(norms), NORMS)
        norms = np.concatenate([norms, more])
    of_unique = np.array([slots[int(identifier)] for identifier in unique], np.int32)
    return state._replace(slots=slots, norms=norms), of_unique[inverse.ravel()]

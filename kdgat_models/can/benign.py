"""What normal vehicles do and few recordings show, written into copies of attack-free traffic: it is no attack.

A detector that has only seen engines that idle takes a unit that reports a change at once for an intruder. But such a unit
keeps time with the new frame and stays with the new value; an injected frame does not.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.clock import tells_time
from kdgat_models.can.frames import PAYLOAD_BYTES, Frames

EVENT_GAP_S = (1.0, 8.0)  # from one reported change to the next on the bus, uniform
MOVED, CHANGED = 0.8, 0.8  # share of events that are sent at once, and that change the payload

Rng = np.random.Generator


class _Event(NamedTuple):
    """From frame `row` on, an ID keeps time `shift` s earlier and its payload differs by `mask`."""

    row: int
    shift: float
    mask: NDArray[np.uint8]  # [8]


def vary(frames: Frames, rng: Rng) -> Frames:
    """A copy of an attack-free capture in which units report changes at once; without a clock it is returned as it is."""
    if not tells_time(frames.timestamp):
        return frames
    clock = np.maximum.accumulate(frames.timestamp - frames.timestamp[0])
    payload = frames.payload.copy()
    _events(frames, clock, payload, rng)
    order = np.argsort(clock, kind="stable")
    begin, ids = frames.timestamp[0], frames.arbitration_id
    return Frames(clock[order] + begin, ids[order], frames.dlc[order], payload[order], frames.label[order])


def _events(frames: Frames, clock: NDArray[np.float64], payload: NDArray[np.uint8], rng: Rng) -> None:
    """Let IDs report changes; `clock` and `payload` are changed in place."""
    rows_of = {int(i): np.flatnonzero(frames.arbitration_id == i) for i in np.unique(frames.arbitration_id)}
    many = [i for i, rows in rows_of.items() if len(rows) > 20]
    at = rng.uniform(*EVENT_GAP_S)
    while many and at < clock[-1]:
        rows = rows_of[int(rng.choice(many))]
        following = int(np.searchsorted(clock[rows], at))
        if 0 < following < len(rows):
            event = _event(clock, rows, following, int(frames.dlc[rows[following]]), rng)
            later = rows[following:]
            clock[later] -= event.shift
            payload[later] ^= np.where(np.arange(PAYLOAD_BYTES) < frames.dlc[later, None], event.mask, np.uint8(0))
        at += rng.uniform(*EVENT_GAP_S)


def _event(clock: NDArray[np.float64], rows: NDArray[np.int64], following: int, dlc: int, rng: Rng) -> _Event:
    gap = clock[rows[following]] - clock[rows[following - 1]]
    shift = float(gap * rng.uniform(0.1, 0.9)) if rng.random() < MOVED else 0.0
    mask = np.zeros(PAYLOAD_BYTES, np.uint8)
    if dlc and rng.random() < CHANGED:
        places = rng.choice(dlc, min(int(rng.integers(1, 4)), dlc), replace=False)
        mask[places] = rng.integers(1, 256, len(places)) & rng.integers(1, 256, len(places))  # a quarter of the bits
    return _Event(following, shift, mask)

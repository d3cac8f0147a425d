"""Which vehicle a capture is of: as the catalogue says, else by the set of its arbitration IDs."""

from collections.abc import Mapping

import numpy as np

from kdgat_models.can.frames import Frames

REGULAR_FRAMES = 5  # of an ID, from which it belongs to the vehicle and not to a fuzzer, if its share is as below, too
REGULAR_PER_MILLE = 0.2
SAME_VEHICLE = 0.5  # similarity from which two captures are of one vehicle


def regular_ids(frames: Frames) -> frozenset[int]:
    """IDs that a capture has often enough for a vehicle to send them. Fuzzed ones are many and rare."""
    ids, counts = np.unique(frames.arbitration_id[frames.label == 0], return_counts=True)
    enough = counts >= max(REGULAR_FRAMES, REGULAR_PER_MILLE / 1000 * frames.size)
    return frozenset(int(identifier) for identifier in ids[enough])


def similarity(first: frozenset[int], second: frozenset[int]) -> float:
    """Overlap coefficient: shared IDs over those of the smaller set. With the ignition off only some units talk."""
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 0.0


def assign_vehicles(ids: Mapping[str, frozenset[int]], stated: Mapping[str, str]) -> dict[str, str]:
    """Vehicle of every capture in `ids`.

    A capture that the catalogue says nothing of belongs to the most similar capture whose vehicle is known, if they share
    at least half of the smaller one's IDs; else it begins a vehicle of its own, called vehicle-1, vehicle-2, ...
    """
    known = {capture: stated[capture] for capture in ids if capture in stated}
    unnamed = 0
    # Rich captures first: a sparse one is then compared with all that it may be a part of.
    for capture in sorted(set(ids) - set(known), key=lambda name: (-len(ids[name]), name)):
        likeness = {other: similarity(ids[capture], ids[other]) for other in sorted(known)}
        best = max(likeness, key=likeness.__getitem__, default=None)
        if best is not None and likeness[best] >= SAME_VEHICLE:
            known[capture] = known[best]
        else:
            unnamed += 1
            known[capture] = f"vehicle-{unnamed}"
    return known

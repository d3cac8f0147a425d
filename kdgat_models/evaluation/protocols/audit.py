"""Audit of captures: which of them share content, such as one base drive with different frames inserted into it.

A capture in training and its base drive in testing leak one into the other, whatever their file names say. Captures are
compared by their n-grams: runs of n consecutive frames without timestamps, which shift when a drive is edited. Of those, only
n-grams that occur once in their capture count. A bus at standstill repeats itself, and in every drive of the same vehicle
alike; a run that came back within minutes is expected to come back in another drive, too, and proves nothing.

Shares are estimates from the lowest hashes (bottom-k sketch; Broder 1997), with the same hashes left out on both sides.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.frames import Frames
from kdgat_models.errors import ConfigError
from kdgat_models.evaluation.protocols.protocol import Overlap

# Of the 595 pairs of 35 recordings, unrelated ones reach 0.009 at n = 8 and those that share a drive start at 0.51. Pieces of
# 1000 frames of unrelated drives reach 0.045. A drive still has 0.12 of its n-grams when every fourth frame is an inserted one.
# JOINED_SHARE lies low: a pair that is joined for nothing costs some data, a pair that is missed costs the result.
NGRAM_FRAMES = 8
JOINED_SHARE = 0.05  # of n-grams in common, from which two captures are of one group
LISTED_SHARE = 0.01  # from which a pair is in the report
HASHES_KEPT = 2**15  # hashes of a capture, 256 KiB; the standard error of a share is below 0.003 for two large captures

_GOLDEN_RATIO = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2**64 divided by it, an odd number (Knuth 1973, section 6.4)


class Audit(NamedTuple):
    """What an audit found: pairs of captures that share content, and the groups that they make."""

    overlaps: list[Overlap]  # the largest first
    groups: dict[str, str]  # every capture -> its group, which is named after the first of its captures by name


def fingerprint(frames: Frames, n: int = NGRAM_FRAMES) -> NDArray[np.uint64]:
    """Hashes of the n-grams that occur once in a capture: the lowest `HASHES_KEPT` of them, ascending.

    A capture that has none, as it repeats itself or is shorter than n frames, has the hash of all its frames: it equals its
    exact duplicates and nothing else. An empty capture has no hash. Labels are not used, as they may be what is wrong.

    Args:
        frames: The capture.
        n: Frames of an n-gram, at least 1; fingerprints can be compared only if they have it in common.

    Raises:
        ConfigError: n is below 1.
    """
    if n < 1:
        raise ConfigError(f"an n-gram of {n} frames: it needs at least 1, and {NGRAM_FRAMES} tells drives of one vehicle apart")
    hashes = _frame_hashes(frames)
    # No list of all distinct n-grams with their counts: two neighbours of the sorted ones say as much.
    ordered = np.sort(_ngram_hashes(hashes, n))
    differs = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
    once = ordered[differs[1:] & differs[:-1]] if ordered.size else ordered
    return once[:HASHES_KEPT].copy() if once.size else _whole(hashes)


def audit(
    fingerprints: Mapping[str, NDArray[np.uint64]], threshold: float = JOINED_SHARE, floor: float = LISTED_SHARE
) -> Audit:
    """Compare all pairs of captures and group those that share content, directly or through others.

    Take fingerprints in a comprehension over captures that are read one by one, so that one at a time is in memory:
    `audit({name: fingerprint(read_frames(path)) for name, path in paths.items()})`

    Args:
        fingerprints: Name of each capture -> its `fingerprint`.
        threshold: Share from which two captures are in one group, above 0 and at most 1.
        floor: Share from which an overlap is reported, above 0; it has no say in groups.

    Raises:
        ConfigError: threshold or floor is out of range.
    """
    if not 0 < threshold <= 1 or floor <= 0:
        raise ConfigError(
            f"threshold {threshold}, floor {floor}: set threshold above 0 and at most 1, and floor above 0;"
            f" {JOINED_SHARE} and {LISTED_SHARE} suit recordings"
        )
    names = sorted(fingerprints)
    overlaps = [Overlap(a, b, shared(fingerprints[a], fingerprints[b])) for a, b in combinations(names, 2)]
    overlaps.sort(key=lambda overlap: -overlap.share)  # stable: equal shares stay in order of names
    joined = [(overlap.first, overlap.second) for overlap in overlaps if overlap.share >= threshold]
    return Audit([overlap for overlap in overlaps if overlap.share >= floor], _groups(names, joined))


def shared(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """Share of the smaller of two fingerprints that is in the larger; 0 if one is empty."""
    # A full fingerprint knows nothing of hashes above its last, so that neither side may count them.
    last = min((hashes[-1] for hashes in (first, second) if len(hashes) == HASHES_KEPT), default=None)
    if last is not None:
        first, second = (hashes[: np.searchsorted(hashes, last, side="right")] for hashes in (first, second))
    few, many = sorted((first, second), key=len)
    if not few.size:
        return 0.0
    places = np.minimum(np.searchsorted(many, few), len(many) - 1)
    return float(np.mean(many[places] == few))


def _groups(names: list[str], joined: list[tuple[str, str]]) -> dict[str, str]:
    """Union-find by a table: so few captures need no tree."""
    groups = {name: name for name in names}
    for first, second in joined:
        kept, gone = sorted((groups[first], groups[second]))
        groups = {name: kept if group == gone else group for name, group in groups.items()}
    return groups


def _frame_hashes(frames: Frames) -> NDArray[np.uint64]:
    """[n] hashes of arbitration ID, DLC and payload."""
    header = frames.arbitration_id.astype(np.uint64) << np.uint64(8) | frames.dlc.astype(np.uint64)
    payload = np.ascontiguousarray(frames.payload).view("<u8").reshape(-1).astype(np.uint64)
    return _mixed(_mixed(header + _GOLDEN_RATIO) ^ payload)


def _ngram_hashes(hashes: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """[frames - n + 1] hashes of all runs of n frames; none if there are fewer frames."""
    count = max(len(hashes) - n + 1, 0)
    polynomial = np.zeros(count, np.uint64)
    for place in range(n):
        polynomial = polynomial * _GOLDEN_RATIO + hashes[place : place + count]
    return _mixed(polynomial)


def _whole(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """[1] hash of a capture's frames in their order; [0] of an empty one."""
    powers = np.cumprod(np.full(len(hashes), _GOLDEN_RATIO))
    return _mixed(np.cumsum(hashes * powers)[-1:])


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread each value over all 64 bits, so that the lowest hashes are a random sample (splitmix64; Steele et al. 2014)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return values ^ values >> np.uint64(31)

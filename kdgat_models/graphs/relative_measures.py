"""Each frame against the causal past of its own arbitration ID in its own capture: the measures of schema `relative`.

Nothing here depends on what an ID is called, on when a capture began, or on the value of a payload byte as such: only
on gaps, on which bits flipped, and on whether a value was had before.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.frames import PAYLOAD_BYTES
from kdgat_models.graphs.relative_moments import excess, learn, standardised
from kdgat_models.graphs.relative_state import (
    FOLLOWED,
    FOLLOWS,
    NIBBLES,
    Bus,
    FrameColumns,
    Norm,
    Norms,
    pair_cell,
    pair_row,
)

MEASURES = (
    "early",  # log2(period / gap) since the last frame that was on time; 0 within the ID's tolerance
    "late",  # log2(gap / period); 0 within the ID's tolerance
    "deviation",  # log2 of |log2(gap / period)| in units of three times the jitter, 0 below one
    "early_surprise",  # -log2 of the running share of frames that are early, bits, less what turned out to be events
    "hamming",  # Hamming distance to the last payload on time, in running standard deviations, log-compressed
    "flip_surprise",  # log2(1 + surprisal of the bits that flipped beyond its running mean + 2 standard deviations, bits)
    "novelty",  # log2(1 + surprisal of bytes with values that they had never had, bits)
    "successor",  # like flip_surprise, of nibbles that did not follow as before: counters, and what copies them
    "record",  # log2 of the surprisal of the payload over the largest one before, 0 below that
    "early_and_odd",  # geometric mean of early_surprise and flip_surprise + novelty: injected frames are both
    "dlc_change",
    "first_seen",
    "stuck",  # log2(frames without change / longest such run before), 0 below that
    "transition",  # surprisal of "followed by", less its running mean, bits
)
EARLY, LATE, DEVIATION, EARLY_SURPRISE, HAMMING, FLIPS, NOVELTY, SUCCESSOR, RECORD, BOTH, DLC, FIRST, STUCK, TRANSITION = range(
    len(MEASURES)
)
CLIP = 8.0  # log2: a frame that is 256 times too early says no more than this
TINY_GAP = 1e-6  # s; timestamps of some recorders step back inside a burst
LEARNING_FRAMES = 200.0  # frames of an ID until its norms are only moved slowly
FOLLOWING_S = 60.0  # s in which mature norms follow a change: bounded by time, so that a flood cannot teach them quickly
HABITUALLY_EARLY = 0.5  # share of early frames from which being early is how an ID behaves


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def observe(
    f: int, frames: FrameColumns, norms: Norms, pairs: NDArray[np.float32], bus: Bus, measures: NDArray[np.float32]
) -> None:
    """Write the measures of frame `f` to `measures[f]`, then learn from the frame."""
    clock, slot, dlc, payload = frames
    k = int(slot[f])
    norm = norms[k]
    out = measures[f]
    if bus.begun == 0:
        bus.begun, bus.start = 1.0, clock[f]
    now = clock[f] - bus.start + bus.learnt
    for m in range(len(MEASURES)):
        out[m] = 0.0
    out[TRANSITION] = _transition(k, pairs, bus)
    bus.frames += 1
    count = norm.count
    norm.count = count + 1
    if count == 0:
        out[FIRST] = 1.0
        _begin(norm, now, dlc[f], payload[f])
        return
    if norm.heard == 0:
        _rejoin(norm, now, payload[f], dlc[f], out)
        return
    gap = max(now - norm.last, TINY_GAP)
    trust = norm.trust
    rate = np.float64(1.0 / (trust + 1.0) if trust < LEARNING_FRAMES else min(gap / FOLLOWING_S, 1.0 / LEARNING_FRAMES))
    on_time = _timing(norm, now, gap, rate, f, int(bus.frames) - 1, measures)
    norm.last = now
    norm.longest_gap = max(norm.longest_gap, gap)
    _payload(norm, payload[f], dlc[f], rate, on_time, out)
    if out[EARLY_SURPRISE] > 0:
        out[BOTH] = math.sqrt(out[EARLY_SURPRISE] * (out[FLIPS] + out[NOVELTY]))
    if on_time:
        norm.scheduled = now
        norm.doubted = -1.0
        norm.trust = trust + 1.0
    else:
        norm.doubted = now
        norm.doubts += 1
        for byte in range(PAYLOAD_BYTES):
            norm.doubted_payload[byte] = payload[f, byte]
        norm.doubted_frame = int(bus.frames) - 1


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _begin(norm: Norm, now: float, dlc: int, payload: NDArray[np.uint8]) -> None:
    """Learn the first frame of an ID."""
    norm.born = now
    _hear(norm, now, payload, dlc)
    _remember(norm, payload)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _rejoin(norm: Norm, now: float, payload: NDArray[np.uint8], dlc: int, out: NDArray[np.float32]) -> None:
    """Measure the first frame in this capture of an ID that the vehicle's profile knows: it has no frame to be compared with,
    but values and a DLC that it had before."""
    T = np.float64(min(norm.trust, FOLLOWING_S * 100.0))
    novelty = _novelty(norm, payload, 1.0 / LEARNING_FRAMES, T, True)
    out[NOVELTY] = math.log2(1.0 + novelty) if novelty > 0 else 0.0
    out[DLC] = dlc != norm.dlc
    _hear(norm, now, payload, dlc)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _hear(norm: Norm, now: float, payload: NDArray[np.uint8], dlc: int) -> None:
    """Remember the first frame of an ID in a capture as the one that the next is compared with."""
    norm.heard = 1
    norm.last = norm.scheduled = now
    norm.doubted = -1.0
    norm.dlc = dlc
    for byte in range(PAYLOAD_BYTES):
        norm.payload[byte] = payload[byte]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _timing(norm: Norm, now: float, gap: float, rate: float, row: int, frame: int, measures: NDArray[np.float32]) -> bool:
    """Measure and learn the gap of a frame; returns whether its payload is to be believed."""
    out = measures[row]
    if norm.trust == 0:
        norm.period = math.log2(gap)
        norm.jitter = 0.3
        return True
    period, jitter = norm.period, norm.jitter
    ratio = math.log2(max(now - norm.scheduled, TINY_GAP)) - period
    tolerance = max(3.0 * jitter, 0.2)
    if norm.doubted >= 0 and ratio > 0:
        # Does it keep time with the early frame instead? Then that one was an event of the same sender.
        after = math.log2(max(now - norm.doubted, TINY_GAP)) - period
        if abs(after) < min(tolerance, 0.4) and abs(after) < ratio:
            norm.resets += 1
            for byte in range(PAYLOAD_BYTES):
                norm.payload[byte] = norm.doubted_payload[byte]
            earlier = row - (frame - norm.doubted_frame)
            if earlier >= 0:
                measures[earlier, EARLY] = measures[earlier, EARLY_SURPRISE] = 0.0
                measures[earlier, DEVIATION] = measures[earlier, BOTH] = 0.0
            ratio = after
    early = ratio < -min(tolerance, 1.0)
    share = norm.early
    if early:
        out[EARLY] = min(-ratio, CLIP)
        T = min(norm.trust, LEARNING_FRAMES)
        events = norm.resets / (norm.doubts + 0.5)
        out[EARLY_SURPRISE] = -math.log2((share * T + 0.5) / (T + 1.0)) * max(1.0 - events, 0.0)
    elif ratio > tolerance:
        out[LATE] = min(ratio, CLIP)
    unlike = abs(ratio) / (3.0 * jitter + 0.15)
    out[DEVIATION] = math.log2(unlike) if unlike > 1.0 else 0.0
    norm.early = share + rate * ((1.0 if early else 0.0) - share)
    if early and share < HABITUALLY_EARLY:
        return False
    bounded = min(max(ratio, -1.0), 1.0)  # one gap moves the period by a bounded step, as a median does
    norm.period += rate * bounded
    norm.jitter += rate * (min(abs(ratio), 2.0) - jitter)
    return True


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _payload(norm: Norm, payload: NDArray[np.uint8], dlc: int, rate: float, on_time: bool, out: NDArray[np.float32]) -> None:
    """Measure a payload against the last one that was on time, and learn it if it is on time itself."""
    T = np.float64(min(norm.trust, FOLLOWING_S * 100.0))
    hamming, surprisal = _flips(norm, payload, rate, T, on_time)
    novelty = _novelty(norm, payload, rate, T, on_time)
    misses = _successors(norm, norm.payload, payload, rate, T, on_time)
    out[HAMMING] = standardised(norm.hamming, hamming)
    out[FLIPS] = excess(norm.surprisal, surprisal)
    out[NOVELTY] = math.log2(1.0 + novelty) if novelty > 0 else 0.0
    out[SUCCESSOR] = excess(norm.misses, misses)
    total = surprisal + novelty
    out[RECORD] = min(math.log2((total + 4.0) / (norm.record + 4.0)), CLIP) if total > norm.record else 0.0
    out[DLC] = dlc != norm.dlc
    run = norm.run + 1 if hamming == 0 else 0
    if norm.longest > 0 and run > norm.longest:
        out[STUCK] = min(math.log2((run + 1.0) / (norm.longest + 1.0)), CLIP)
    if on_time:
        learn(norm.hamming, hamming, rate)
        learn(norm.surprisal, surprisal, rate)
        learn(norm.misses, misses, rate)
        norm.record = max(norm.record, total)
        norm.longest = max(norm.longest, norm.run + 1) if hamming else norm.longest
        norm.run = run
        norm.dlc = dlc
        for byte in range(PAYLOAD_BYTES):
            norm.payload[byte] = payload[byte]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _flips(norm: Norm, payload: NDArray[np.uint8], rate: float, T: float, on_time: bool) -> tuple[int, float]:
    """Hamming distance to the last payload, and surprisal in bits of what flipped, with the XOR of all bytes as a ninth."""
    flips, before = norm.flips, norm.payload
    if on_time:
        keep = np.float32(1.0 - rate)
        for b in range(len(flips)):
            flips[b] *= keep
    scale = 1.0 / (T + 1.0)
    # One logarithm of the product: 72 factors of at least 0.5 / 6001 stay far above the smallest double.
    hamming, likelihood, folded = 0, 1.0, np.uint8(0)
    for byte in range(PAYLOAD_BYTES + 1):
        changed = np.uint8(payload[byte] ^ before[byte]) if byte < PAYLOAD_BYTES else folded
        folded = np.uint8(folded ^ changed)
        bit = 8 * byte
        while changed:
            if changed & 1:
                likelihood *= (flips[bit] * T + 0.5) * scale
                if on_time:
                    flips[bit] += rate
                if byte < PAYLOAD_BYTES:
                    hamming += 1
            changed = np.uint8(changed >> 1)
            bit += 1
    return hamming, -math.log2(likelihood) if likelihood < 1.0 else 0.0


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _novelty(norm: Norm, payload: NDArray[np.uint8], rate: float, T: float, on_time: bool) -> float:
    """Surprisal in bits of the bytes that have a value that they had never had."""
    surprisal = 0.0
    for byte in range(PAYLOAD_BYTES):
        word, bit = payload[byte] >> 5, np.uint32(1) << np.uint32(payload[byte] & 31)
        share = norm.novel[byte]
        new = 1.0 if norm.seen[8 * byte + word] & bit == 0 else 0.0
        if new > 0:
            surprisal -= math.log2((share * T + 0.5) / (T + 1.0))
        if on_time:
            norm.novel[byte] = share + rate * (new - share)
            norm.seen[8 * byte + word] |= bit
    return surprisal


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _successors(
    norm: Norm, before: NDArray[np.uint8], payload: NDArray[np.uint8], rate: float, T: float, on_time: bool
) -> float:
    """Surprisal in bits of the nibbles that are not followed by what followed them before."""
    likelihood = 1.0
    for n in range(NIBBLES):
        shift = 4 * (1 - n % 2)
        old, new = (before[n // 2] >> shift) & 15, (payload[n // 2] >> shift) & 15
        expected = norm.successor[16 * n + old]
        share = norm.hits[n]
        if expected != 0 and expected != new + 1:
            likelihood *= ((1.0 - share) * T + 0.5) / (T + 1.0)
        if on_time:
            if expected != 0:
                norm.hits[n] = share + rate * ((1.0 if expected == new + 1 else 0.0) - share)
            norm.successor[16 * n + old] = new + 1
    return -math.log2(likelihood) if likelihood < 1.0 else 0.0


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _remember(norm: Norm, payload: NDArray[np.uint8]) -> None:
    """Mark the values that the bytes of a payload have as seen."""
    for byte in range(PAYLOAD_BYTES):
        norm.seen[8 * byte + (payload[byte] >> 5)] |= np.uint32(1) << np.uint32(payload[byte] & 31)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _transition(k: int, pairs: NDArray[np.float32], bus: Bus) -> float:
    """Surprisal of this ID after the last one, less the running mean of the bus."""
    previous = int(bus.last_slot) - 1  # slots are kept + 1, so that 0 means none
    bus.last_slot = k + 1
    if previous < 0:
        return 0.0
    row, cell = pair_row(previous), pair_cell(previous, k)
    surprisal = -math.log2((pairs[FOLLOWS, cell] + 0.5) / (pairs[FOLLOWED, row] + 32.0))
    pairs[FOLLOWED, row] += 1.0
    pairs[FOLLOWS, cell] += 1.0
    mean = bus.transition
    bus.transition += (surprisal - mean) / min(bus.frames + 1.0, 20_000.0)
    return surprisal - mean

"""Each frame against the causal past of its own arbitration ID in its own capture: the measures of schema `relative`.

Nothing here depends on what an ID is called, on when a capture began, or on the value of a payload byte as such: only
on gaps, on which bits flipped, and on whether a value was had before.
"""

import math

import numba
import numpy as np

from kdgat_models.can.frames import PAYLOAD_BYTES
from kdgat_models.graphs.relative_state import NIBBLES, PAIR_SLOTS

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
MEMORY = 60.0  # s in which mature norms follow a change: bounded by time, so that a flood cannot teach them quickly
HABIT = 0.5  # share of early frames from which being early is how an ID behaves


@numba.njit(cache=True, nogil=True)
def observe(f, row, clock, slot, dlc, payload, norms, pairs, bus, measures):
    """Write the measures of frame `f` to `measures[row]`, then learn from the frame."""
    k = slot[f]
    out = measures[row]
    if bus[0] == 0:
        bus[1] = clock[f]
    now = clock[f] - bus[1]
    out[:] = 0.0
    out[TRANSITION] = _transition(k, pairs, bus)
    bus[0] += 1
    count = norms.count[k]
    norms.count[k] = count + 1
    if count == 0:
        out[FIRST] = 1.0
        norms.born[k] = norms.last[k] = norms.scheduled[k] = now
        norms.doubted[k] = -1.0
        norms.dlc[k] = dlc[f]
        norms.payload[k] = payload[f]
        _remember(k, payload[f], norms)
        return
    gap = max(now - norms.last[k], TINY_GAP)
    trust = norms.trust[k]
    rate = 1.0 / (trust + 1.0) if trust < LEARNING_FRAMES else min(gap / MEMORY, 1.0 / LEARNING_FRAMES)
    on_time = _timing(k, now, gap, rate, row, int(bus[0]) - 1, norms, measures)
    norms.last[k] = now
    _payload(k, payload[f], dlc[f], rate, on_time, norms, out)
    out[BOTH] = math.sqrt(out[EARLY_SURPRISE] * (out[FLIPS] + out[NOVELTY]))
    if on_time:
        norms.scheduled[k] = now
        norms.doubted[k] = -1.0
        norms.trust[k] = trust + 1.0
    else:
        norms.doubted[k] = now
        norms.doubts[k] += 1
        norms.doubted_payload[k] = payload[f]
        norms.doubted_row[k] = int(bus[0]) - 1


@numba.njit(cache=True, nogil=True)
def _timing(k, now, gap, rate, row, frame, norms, measures):
    """Measure and learn the gap of a frame; returns whether its payload is to be believed."""
    out = measures[row]
    if norms.trust[k] == 0:
        norms.period[k] = math.log2(gap)
        norms.jitter[k] = 0.3
        return True
    period, jitter = norms.period[k], norms.jitter[k]
    ratio = math.log2(max(now - norms.scheduled[k], TINY_GAP)) - period
    tolerance = max(3.0 * jitter, 0.2)
    if norms.doubted[k] >= 0 and ratio > 0:
        # Does it keep time with the early frame instead? Then that one was an event of the same sender.
        after = math.log2(max(now - norms.doubted[k], TINY_GAP)) - period
        if abs(after) < min(tolerance, 0.4) and abs(after) < ratio:
            norms.resets[k] += 1
            norms.payload[k] = norms.doubted_payload[k]
            earlier = row - (frame - norms.doubted_row[k])
            if earlier >= 0:
                measures[earlier, EARLY] = measures[earlier, EARLY_SURPRISE] = 0.0
                measures[earlier, DEVIATION] = measures[earlier, BOTH] = 0.0
            ratio = after
    early = ratio < -min(tolerance, 1.0)
    share = norms.early[k]
    if early:
        out[EARLY] = min(-ratio, CLIP)
        T = min(norms.trust[k], LEARNING_FRAMES)
        events = norms.resets[k] / (norms.doubts[k] + 0.5)
        out[EARLY_SURPRISE] = -math.log2((share * T + 0.5) / (T + 1.0)) * max(1.0 - events, 0.0)
    elif ratio > tolerance:
        out[LATE] = min(ratio, CLIP)
    out[DEVIATION] = max(math.log2(abs(ratio) / (3.0 * jitter + 0.15) + 1e-9), 0.0)
    norms.early[k] = share + rate * ((1.0 if early else 0.0) - share)
    if early and share < HABIT:
        return False
    bounded = min(max(ratio, -1.0), 1.0)  # one gap moves the period by a bounded step, as a median does
    norms.period[k] += rate * bounded
    norms.jitter[k] += rate * (min(abs(ratio), 2.0) - jitter)
    return True


@numba.njit(cache=True, nogil=True)
def _payload(k, payload, dlc, rate, on_time, norms, out):
    """Measure a payload against the last one that was on time, and learn it if it is on time itself."""
    before = norms.payload[k]
    T = min(norms.trust[k], MEMORY * 100.0)
    scale = 1.0 / (T + 1.0)
    flips = norms.flips[k]
    if on_time:
        keep = np.float32(1.0 - rate)
        for b in range(len(flips)):
            flips[b] *= keep
    hamming, surprisal, folded = 0, 0.0, np.uint8(0)
    for byte in range(PAYLOAD_BYTES + 1):
        changed = np.uint8(payload[byte] ^ before[byte]) if byte < PAYLOAD_BYTES else folded
        folded = np.uint8(folded ^ changed)
        bit = 8 * byte
        while changed:
            if changed & 1:
                surprisal -= math.log2((flips[bit] * T + 0.5) * scale)
                if on_time:
                    flips[bit] += rate
                if byte < PAYLOAD_BYTES:
                    hamming += 1
            changed = np.uint8(changed >> 1)
            bit += 1
    novelty = _novelty(k, payload, rate, T, on_time, norms)
    misses = _successors(k, before, payload, rate, T, on_time, norms)
    out[HAMMING] = _standardised(norms.hamming[k], hamming)
    out[FLIPS] = _excess(norms.surprisal[k], surprisal)
    out[NOVELTY] = math.log2(1.0 + novelty)
    out[SUCCESSOR] = _excess(norms.misses[k], misses)
    total = surprisal + novelty
    out[RECORD] = min(math.log2((total + 4.0) / (norms.record[k] + 4.0)), CLIP) if total > norms.record[k] else 0.0
    out[DLC] = dlc != norms.dlc[k]
    run = norms.run[k] + 1 if hamming == 0 else 0
    longest = norms.longest[k]
    if longest > 0 and run > longest:
        out[STUCK] = min(math.log2((run + 1.0) / (longest + 1.0)), CLIP)
    if not on_time:
        return
    _learn(norms.hamming[k], hamming, rate)
    _learn(norms.surprisal[k], surprisal, rate)
    _learn(norms.misses[k], misses, rate)
    norms.record[k] = max(norms.record[k], total)
    if hamming:
        norms.longest[k] = max(longest, norms.run[k] + 1)
    norms.run[k] = run
    norms.dlc[k] = dlc
    norms.payload[k] = payload


@numba.njit(cache=True, nogil=True)
def _novelty(k, payload, rate, T, on_time, norms):
    surprisal = 0.0
    for byte in range(PAYLOAD_BYTES):
        word, bit = payload[byte] >> 5, np.uint32(1) << np.uint32(payload[byte] & 31)
        share = norms.novel[k, byte]
        new = 1.0 if norms.seen[k, byte, word] & bit == 0 else 0.0
        if new > 0:
            surprisal -= math.log2((share * T + 0.5) / (T + 1.0))
        if on_time:
            norms.novel[k, byte] = share + rate * (new - share)
            norms.seen[k, byte, word] |= bit
    return surprisal


@numba.njit(cache=True, nogil=True)
def _successors(k, before, payload, rate, T, on_time, norms):
    surprisal = 0.0
    for n in range(NIBBLES):
        shift = 4 * (1 - n % 2)
        old, new = (before[n // 2] >> shift) & 15, (payload[n // 2] >> shift) & 15
        expected = norms.successor[k, n, old]
        share = norms.hits[k, n]
        if expected != 255 and expected != new:
            surprisal -= math.log2(((1.0 - share) * T + 0.5) / (T + 1.0))
        if on_time:
            if expected != 255:
                norms.hits[k, n] = share + rate * ((1.0 if expected == new else 0.0) - share)
            norms.successor[k, n, old] = new
    return surprisal


@numba.njit(cache=True, nogil=True)
def _remember(k, payload, norms):
    for byte in range(PAYLOAD_BYTES):
        norms.seen[k, byte, payload[byte] >> 5] |= np.uint32(1) << np.uint32(payload[byte] & 31)


@numba.njit(cache=True, nogil=True)
def _deviation(moments):
    """Running standard deviation; a variance of one is added, so that a first small change is no wonder."""
    return math.sqrt(max(moments[1] - moments[0] * moments[0], 0.0) + 1.0)


@numba.njit(cache=True, nogil=True)
def _standardised(moments, value):
    """Signed log2 |z|, 0 within one standard deviation."""
    z = (value - moments[0]) / _deviation(moments)
    return math.log2(z) if z > 1.0 else -math.log2(-z) if z < -1.0 else 0.0


@numba.njit(cache=True, nogil=True)
def _excess(moments, value):
    """log2(1 + what `value` has beyond the mean and two standard deviations)."""
    return math.log2(1.0 + max(value - moments[0] - 2.0 * _deviation(moments), 0.0))


@numba.njit(cache=True, nogil=True)
def _learn(moments, value, rate):
    moments[0] += rate * (value - moments[0])
    moments[1] += rate * (value * value - moments[1])


@numba.njit(cache=True, nogil=True)
def _transition(k, pairs, bus):
    """Surprisal of this ID after the last one, less the running mean of the bus."""
    previous = int(bus[2]) - 1  # slots are kept + 1, so that 0 means none
    bus[2] = k + 1
    if previous < 0:
        return 0.0
    row = (previous * 2654435761) % PAIR_SLOTS
    cell = (previous * 2654435761 + (k + 1) * 40503) % PAIR_SLOTS
    surprisal = -math.log2((pairs[1, cell] + 0.5) / (pairs[0, row] + 32.0))
    pairs[0, row] += 1.0
    pairs[1, cell] += 1.0
    mean = bus[5]
    bus[5] += (surprisal - mean) / min(bus[0] + 1.0, 20_000.0)
    return surprisal - mean

"""Windows of schema `relative` in plain Python, from the definitions: what the fast code must agree with.

Nothing is shared with the fast code but the frames. Names of features are those of `kdgat_models/graphs/relative.py`.
"""

import math
from collections import defaultdict

from measures_oracle import MEASURES, SHORTEST, Bus, Sender, clip, periods, signed_log

from kdgat_models.can.frames import Frames

COUNTED = {"early": 1, "early_surprise": 4, "flip_surprise": 4, "novelty": 3, "successor": 4}  # counted above these
OF_ID, OF_BUS = ["maturity", "surplus", "missed"], ["age", "load", "silent", "silence", "newcomers"]
NODE = [f"{m}_mean" for m in MEASURES] + [f"{m}_max" for m in MEASURES] + [f"{m}_count" for m in COUNTED] + OF_ID + OF_BUS
EDGE = ["transition_mean", "transition_max", "count", "gap", "self_loop"]


def windows(frames: Frames, W: int, stride: int) -> list[tuple[list[list[float]], list[list[float]]]]:
    """Node and edge features of each window, in the order of `NODE` and `EDGE`."""
    count = len(frames.timestamp)
    timed = any(stamp != frames.timestamp[0] for stamp in frames.timestamp)
    clock = [float(stamp) for stamp in frames.timestamp] if timed else [row / 2000 for row in range(count)]
    ids, payloads = frames.arbitration_id.tolist(), [tuple(row) for row in frames.payload.tolist()]
    bus, spans, graphs, seen = Bus(), [], [], 0
    for start in range(0, count - W + 1, stride):
        end = start + W
        for row in range(seen, end):
            bus.observe(clock[row], ids[row], int(frames.dlc[row]), payloads[row])
        seen = max(seen, end)
        rows, times, senders = bus.measures[start:end], clock[start:end], ids[start:end]
        span = max(times[-1] - times[0], SHORTEST)
        of_bus = describe_bus(bus, times[-1] - bus.start, span, spans, rows)
        nodes = []
        for identifier in sorted(set(senders)):
            mine = [row for row, sender in zip(rows, senders, strict=True) if sender == identifier]
            values = aggregate(mine) | describe_id(bus, bus.senders[identifier], len(mine), span) | of_bus
            nodes.append([values[name] for name in NODE])
        graphs.append((nodes, [[edge[name] for name in EDGE] for edge in describe_edges(rows, times, senders, span)]))
        spans.append(span)
    return graphs


def aggregate(rows: list[dict[str, float]]) -> dict[str, float]:
    values = {}
    for name in MEASURES:
        column = [row[name] for row in rows]
        values[f"{name}_mean"], values[f"{name}_max"] = sum(column) / len(column), max(column)
    for name, above in COUNTED.items():
        values[f"{name}_count"] = math.log2(1 + sum(row[name] > above for row in rows))
    return values


def describe_id(bus: Bus, sender: Sender, count: int, span: float) -> dict[str, float]:
    values = {"maturity": min(math.log2(1 + sender.trust), 8) / 8, "surplus": 0.0, "missed": 0.0}
    if sender.trust > 2:
        expected = span / 2**sender.period
        values["surplus"] = signed_log((count - expected) / math.sqrt(expected + 1))
        missed = min(math.log2(1 + max(sender.born, 0) / 2**sender.period), 12)
        values["missed"] = max(missed - 2 * math.log2(1 + cohort(bus, sender)), 0)
    return values


def cohort(bus: Bus, sender: Sender) -> int:
    """Other IDs in an unbroken row, at most 64 before and after, that were first seen within a second of this one."""
    born = {other.number: other.born for other in bus.senders.values()}
    others = 0
    for direction in (1, -1):
        for step in range(1, 65):
            other = born.get(sender.number + direction * step)
            if other is None or direction * (other - sender.born) > 1:
                break
            others += 1
    return others


def describe_bus(bus: Bus, now: float, span: float, spans: list[float], rows: list[dict[str, float]]) -> dict[str, float]:
    overdue = [periods(now - sender.last, sender) - 2 * sender.jitter for sender in bus.senders.values() if sender.trust >= 20]
    silent = [value for value in overdue if 3 < value < 10]
    return {
        "age": min(math.log2(1 + max(now, 0)), 5) / 5,
        "load": clip(math.log2(sum(spans) / len(spans) / span), -6, 6) if spans else 0.0,
        "silent": math.log2(1 + len(silent)),
        "silence": max(silent, default=0.0),
        "newcomers": math.log2(1 + sum(row["first_seen"] for row in rows)),
    }


def describe_edges(rows: list[dict[str, float]], times: list[float], senders: list[int], span: float) -> list[dict[str, float]]:
    """In the order in which the edges first occur."""
    occurrences: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place in range(1, len(senders)):
        occurrences[senders[place - 1], senders[place]].append(place)
    usual = span / (len(senders) - 1)
    edges = []
    for (source, target), places in occurrences.items():
        surprise = [rows[place]["transition"] for place in places]
        gap = sum(max(times[place] - times[place - 1], 0) for place in places) / len(places)
        edges.append(
            {
                "transition_mean": sum(surprise) / len(places),
                "transition_max": max(surprise),
                "count": math.log2(len(places)),
                "gap": math.log2((gap + 0.1 * usual) / (1.1 * usual)),
                "self_loop": float(source == target),
            }
        )
    return edges

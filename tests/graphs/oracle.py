"""The graph of one window in plain Python, straight from the definitions: what the fast code must agree with."""

import statistics
from collections import Counter

from kdgat_models.can.frames import Frames


def window_graph(frames: Frames, start: int, W: int) -> dict:
    ids = frames.arbitration_id[start : start + W].tolist()
    nodes = sorted(set(ids))
    transitions = [(nodes.index(a), nodes.index(b)) for a, b in zip(ids, ids[1:], strict=False)]
    edges = list(dict.fromkeys(transitions))
    places = {edge: [i for i, other in enumerate(transitions) if other == edge] for edge in edges}
    degree = Counter(node for edge in edges for node in edge)
    counts = Counter(ids)
    low, high = min(counts.values()), max(counts.values())
    x = []
    for node in nodes:
        mine = [i for i, identifier in enumerate(ids) if identifier == node]
        payload = [sum(int(frames.payload[start + i, byte]) for i in mine) / len(mine) / 255 for byte in range(8)]
        x.append([*payload, (counts[node] - low) / (high - low) if high > low else 0.0, mine[-1] / (W - 1)])
    attr = []
    for (a, b), at in places.items():
        gaps = [later - earlier for earlier, later in zip(at, at[1:], strict=False)]
        std = statistics.pstdev(gaps) if gaps else 0.0
        attr.append(
            [
                len(at),
                len(at) / W,
                statistics.mean(gaps) if gaps else 0.0,
                std,
                1 / (1 + std),
                at[0],
                at[-1],
                at[-1] - at[0],
                float((b, a) in places),
                degree[a] * degree[b],
                degree[a] / degree[b],
            ]
        )
    labels = frames.label[start : start + W]
    return {
        "nodes": nodes,
        "edges": edges,
        "x": x,
        "edge_attr": attr,
        "label": int(labels.any()),
        "node_label": [int(any(labels[i] for i in range(W) if ids[i] == node)) for node in nodes],
    }

"""From 100 raw frames to a verdict on one core, beside PyTorch in the same run: a window at a time, and a whole capture.

taskset -c 0 python tests/benchmarks/latency.py [ROUNDS]     simulated traffic; ROUNDS captures of a minute, 3 if not given

The weights are random: they do not matter to the time. The aims are 0.3 ms at the median and 0.43 ms at the 99th percentile for
a window that comes alone, graph included, and 900,000 frames/s for a capture (100 times a saturated bus of 1 Mbit/s).
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from config import resolve
from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import Episode, simulate_capture
from kdgat_models.graphs.memory import StreamStore
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.store import GraphData
from kdgat_models.graphs.stream import GraphStream, StreamGraphs
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.inference.compiled import CompiledClassifier
from kdgat_models.inference.windows import WindowGraphs
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT

WINDOW = 100
BATCHES = (1, 256)
VOCABULARY = Vocabulary(())


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    captures = [capture(seed) for seed in range(rounds)]
    print(f"{rounds} captures, {sum(frames.size for frames in captures):,} frames, windows of {WINDOW}, one thread")
    student, teacher = (GAT(resolve("gat", scale).gat, 1, RELATIVE.continuous, 5).eval() for scale in ("tiny", "large"))
    for name, network in (("tiny student", student), ("large teacher", teacher)):
        throughput(name, network, captures[0])
    compiled = CompiledClassifier.of(student)
    alone(captures, compiled)
    streamed(captures, compiled)


def capture(seed: int) -> Frames:
    """A minute of traffic with attacks."""
    traffic = simulate_capture(Episode("bench", "alpha", "fuzzing", 60.0), seed)
    columns = zip(traffic, (np.float64, np.uint32, np.uint8, np.uint8, np.uint8), strict=True)
    return Frames(*(column.astype(kind) for column, kind in columns))


def windows_of(graphs: StreamGraphs) -> WindowGraphs:
    """What the compiled classifier reads of the graphs of a stream."""
    topology, features = graphs.topology, graphs.features
    ids = VOCABULARY.encode(topology.arbitration_id)
    offsets = (topology.node_offsets, topology.edge_offsets)
    return WindowGraphs(ids, features.nodes, topology.source, topology.target, features.edges, *offsets)


def throughput(name: str, network: GAT, frames: Frames) -> None:
    """Windows per second of the network alone."""
    compiled = CompiledClassifier.of(network)
    for batch in BATCHES:
        (graphs,) = GraphStream("bench", RELATIVE, WINDOW, WINDOW).push(frames.rows(slice(0, batch * WINDOW)))
        windows, data = windows_of(graphs), GraphData(StreamStore("bench", RELATIVE, graphs), VOCABULARY)
        in_torch = data.batch(np.arange(batch))
        with torch.inference_mode():
            seconds = {
                "compiled": fastest(lambda w=windows: compiled(w)),
                "PyTorch": fastest(lambda b=in_torch: classify(network, b)),
            }
        rates = "   ".join(f"{engine} {batch / each:>9,.0f} windows/s" for engine, each in seconds.items())
        nodes = len(graphs.topology.arbitration_id) / batch
        print(f"{name}, batch of {batch:>3}, {nodes:.0f} nodes a window: {rates}")


def alone(captures: list[Frames], compiled: CompiledClassifier) -> None:
    """Milliseconds from 100 frames to logits, window by window, with what of them is the graph."""
    graph, whole = list[float](), list[float]()
    for frames in captures:
        stream = GraphStream("bench", RELATIVE, WINDOW, WINDOW)
        for start in range(0, frames.size - WINDOW + 1, WINDOW):
            part = frames.rows(slice(start, start + WINDOW))
            begin = time.perf_counter()
            made = stream.push(part)
            middle = time.perf_counter()
            for graphs in made:
                compiled(windows_of(graphs))
            end = time.perf_counter()
            graph.append(middle - begin)
            whole.append(end - begin)
    for name, seconds in (("frames -> graph", graph), ("frames -> logits", whole)):
        p50, p99 = np.percentile(seconds[10:], (50, 99)) * 1000
        print(f"a window alone, {name:<17} p50 {p50:.3f} ms   p99 {p99:.3f} ms   ({len(seconds):,} windows)")


def streamed(captures: list[Frames], compiled: CompiledClassifier) -> None:
    """Frames per second of whole captures."""

    def run(judge: Callable[[StreamGraphs], object]) -> float:
        begin = time.perf_counter()
        for frames in captures:
            for graphs in GraphStream("bench", RELATIVE, WINDOW, WINDOW).push(frames):
                judge(graphs)
        return sum(frames.size for frames in captures) / (time.perf_counter() - begin)

    best = [max(run(judge) for _ in range(3)) for judge in (len, lambda graphs: compiled(windows_of(graphs)))]
    print(f"whole captures: graphs alone {best[0]:,.0f} frames/s   graphs and network {best[1]:,.0f} frames/s")


def fastest(function: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs: what else the machine does only adds to a time."""
    function()
    seconds = list[float]()
    for _ in range(20):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


if __name__ == "__main__":
    main()

"""Exported forms of a classifier against PyTorch on simulated windows: differences, verdicts, F1, bytes, and what C code takes.

python tests/benchmarks/exports.py [MODEL [WINDOWS]]

MODEL is a .kdgat file or the folder of a classifier's run; without it, or with `-`, weights are random and F1 means nothing.
WINDOWS is 10,000 if it is not given. The C code has room for all 2048 IDs of 11 bits, as Python has, and once more for 256.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))

import compiled_c
from exported import capture, checkpoint, data_of

from kdgat_models.bundle import load_bundle
from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import ATTACKS
from kdgat_models.checkpoint import Checkpoint, load_checkpoint
from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.export.c import export_c
from kdgat_models.export.export import SUFFIXES, export_model
from kdgat_models.export.onnx import OnnxClassifier
from kdgat_models.graphs.store import GraphData
from kdgat_models.inference.compiled import CompiledClassifier
from kdgat_models.inference.windows import WindowGraphs
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import restore

BATCH, SECONDS = 256, 60.0
C_OPTIONS = ("-O3", "-march=native")


def main() -> None:
    torch.set_num_threads(1)
    name, most = (*sys.argv[1:], *("-", "10000")[len(sys.argv) - 1 :])
    captures, count = list[Frames](), 0
    while count < int(most):
        captures.append(capture(SECONDS, list(ATTACKS)[len(captures) % len(ATTACKS)], len(captures)))
        count += captures[-1].size // 100
    model = read(name, captures[0])
    data = [GraphData(data_of(frames).store, model.vocabulary) for frames in captures]
    label = np.concatenate([each.store.label for each in data])
    expected, seconds = timed(lambda: in_torch(model, data))
    print(f"{len(captures)} captures, {len(label):,} windows, {label.mean():.0%} of an attack")
    report("PyTorch", model, (expected, expected), label, seconds)
    with tempfile.TemporaryDirectory() as scratch:
        for form in ("onnx", "onnx-int8"):
            made = export_model(model, form, Path(scratch) / f"model{SUFFIXES[form]}")
            logits, seconds = timed(lambda path=made.path: in_onnx(path, data))
            report(form, model, (logits, expected), label, seconds)
            print(f"    file {made.size:,} bytes")
        for most_ids in (2048, 256):
            path = Path(scratch) / "model.c"
            export_c(model, path, most_ids)
            logits, seconds = timed(lambda path=path: in_c(path, captures))
            report(f"c, {most_ids} IDs", model, (logits, expected), label, seconds)
            print(what_c_takes(path))
    logits, seconds = timed(lambda: in_machine_code(model, data))
    report("compiled here", model, (logits, expected), label, seconds)


def read(name: str, frames: Frames) -> Checkpoint:
    """The classifier of a bundle or run, or random weights."""
    if name == "-":
        return checkpoint(data_of(frames))
    path = Path(name)
    return load_checkpoint(path) if path.is_dir() else load_bundle(path).checkpoints["gat"]


def report(form: str, model: Checkpoint, logits: tuple[np.ndarray, np.ndarray], label: np.ndarray, seconds: float) -> None:
    """One form against PyTorch."""
    threshold = model.decision.threshold()
    score, expected = (of[:, 1] - of[:, 0] for of in logits)
    changed = int(((score >= threshold) != (expected >= threshold)).sum())
    f1 = window_metrics(label, score, threshold).f1 or 0.0
    difference = abs(logits[0] - logits[1]).max()
    found = f"largest difference of a logit {difference:.1e}   verdicts changed {changed}   F1 {f1:.4f}"
    print(f"{form:<14} {found}   {len(label) / seconds:,.0f} windows/s")


@torch.inference_mode()
def in_torch(model: Checkpoint, data: list[GraphData]) -> np.ndarray:
    network = restore(model)
    return np.concatenate([classify(network, batch).logits.numpy() for batch in batches(data)])


def in_onnx(path: Path, data: list[GraphData]) -> np.ndarray:
    session = OnnxClassifier(path)
    return np.concatenate([session(batch).logits for batch in batches(data)])


def in_machine_code(model: Checkpoint, data: list[GraphData]) -> np.ndarray:
    compiled = CompiledClassifier.of(restore(model))

    def run(each: GraphData) -> np.ndarray:
        store = each.store
        ids = each.vocabulary.encode(store.arbitration_id)
        offsets = (store.node_offsets, store.edge_offsets)
        return compiled(WindowGraphs(ids, store.x, store.source, store.target, store.edge_attr, *offsets)).logits

    return np.concatenate([run(each) for each in data])


def in_c(path: Path, captures: list[Frames]) -> np.ndarray:
    """Frames to logits, frame by frame: features included."""
    library = compiled_c.compiled(path, *C_OPTIONS)
    verdicts = [verdict for frames in captures for verdict in compiled_c.verdicts(library, frames)]
    return np.array([(verdict.normal, verdict.attacked) for verdict in verdicts])


def what_c_takes(path: Path) -> str:
    """Bytes of code and constants, and of state."""
    library = compiled_c.compiled(path, "-O2")
    sizes = subprocess.run(["size", library._name], capture_output=True, text=True, check=True).stdout.splitlines()[1].split()
    return f"    code and constants {int(sizes[0]):,} bytes (size, -O2)   state {library.kdgat_state_size():,} bytes"


def batches(data: list[GraphData]):
    for each in data:
        for begin in range(0, len(each.store), BATCH):
            yield each.batch(np.arange(begin, min(begin + BATCH, len(each.store))))


def timed(function):
    begin = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begin


if __name__ == "__main__":
    main()

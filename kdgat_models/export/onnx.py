"""Exported ONNX models at work, and in eight bits: what onnxruntime says of windows, and what rounding the weights costs.

onnx and onnxruntime are the extra `export`: `pip install kdgat[export]`.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import CheckpointError
from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.export.graph import INPUTS, METADATA, quiet
from kdgat_models.files import atomic_path
from kdgat_models.graphs.batch import GraphBatch


class OnnxOutput(NamedTuple):
    """As a `ClassifierOutput`."""

    logits: NDArray[np.float32]  # [graphs, 2]
    node_logit: NDArray[np.float32]  # [nodes]


class OnnxClassifier:
    """A model that `export_onnx` or `quantise` wrote, run by onnxruntime on the CPU."""

    def __init__(self, file: Path, threads: int = 1) -> None:
        """Open `file`.

        Raises:
            CheckpointError: it is no ONNX file, or none of ours.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            self.description: dict[str, Any] = json.loads(self.session.get_modelmeta().custom_metadata_map[METADATA])
        except Exception as error:  # onnxruntime's own have no common class
            raise CheckpointError(f"{file} is not a model that `kdgat export --to onnx` wrote: {error}") from error

    def __call__(self, batch: GraphBatch) -> OnnxOutput:
        """Logits of a batch."""
        arrays = [tensor.numpy() for tensor in batch[:5]]
        feed = dict(zip(INPUTS, (*arrays, np.arange(batch.num_graphs)), strict=True))
        logits, node_logit = self.session.run(None, feed)
        return OnnxOutput(np.asarray(logits), np.asarray(node_logit))


def quantise(model: Path, target: Path) -> None:
    """Write a copy of an exported model whose matrices are of 8 bits; activations are rounded as they come (dynamically)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().disabled, before = True, logging.getLogger().disabled  # it advises preprocessing, which is done
    try:
        with atomic_path(target) as temporary, quiet():
            quantize_dynamic(model, temporary, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        logging.getLogger().disabled = before


class Loss(NamedTuple):
    """What another form of a model costs."""

    f1: float | None  # of the first model; None: no window is of an attack
    f1_other: float | None
    largest_difference: float  # of a logit
    changed: int  # windows whose verdict is another
    windows: int


def loss(model: OnnxClassifier, other: OnnxClassifier, batches: Iterable[GraphBatch], threshold: float) -> Loss:
    """Compare two forms of a model on labelled windows; a window is an attack from `threshold` on."""
    label, difference = list[NDArray[np.int64]](), 0.0
    scores = list[NDArray[np.float32]](), list[NDArray[np.float32]]()
    for batch in batches:
        outputs = [each(batch).logits for each in (model, other)]
        difference = max(difference, float(np.abs(outputs[0] - outputs[1]).max()))
        label.append(batch.label.numpy())
        for of, logits in zip(scores, outputs, strict=True):
            of.append(logits[:, 1] - logits[:, 0])
    truth = np.concatenate(label)
    first, second = (np.concatenate(of) for of in scores)
    f1, f1_other = (window_metrics(truth, of, threshold).f1 for of in (first, second))
    changed = int(((first >= threshold) != (second >= threshold)).sum())
    return Loss(f1, f1_other, difference, changed, len(truth))

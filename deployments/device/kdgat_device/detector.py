"""Graphs -> verdicts, by onnxruntime and a model that `kdgat export --to onnx` or `onnx-int8` wrote."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_device.graphs import EDGE_FEATURES, FEATURES, WINDOW, Graph, GraphStream

KEY, FORMAT = "kdgat", 1  # of what a model says of itself


class ModelError(Exception):
    """A file is no model that this version runs; says why."""


class Verdict(NamedTuple):
    """On one window."""

    begin: float  # s, first frame
    end: float  # s, last frame
    score: float  # log-odds of "attack"
    attack: bool
    suspect: int  # arbitration ID that most likely attacks


class Detector:
    """Watches one bus."""

    def __init__(self, model: str | Path, rule: str = "f1") -> None:
        """Open a model.

        Args:
            model: The .onnx file.
            rule: Which of its thresholds counts: f1, fpr_0.01, ...

        Raises:
            ModelError: the file is no such model, or of features or windows that this version does not compute.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            said = json.loads(self._session.get_modelmeta().custom_metadata_map[KEY])
        except Exception as error:  # onnxruntime's own have no common class
            raise ModelError(f"{model} is not a model that `kdgat export --to onnx` wrote: {error}") from error
        _require_known(model, said)
        if rule not in said["decision"]:
            raise ModelError(f"{model} has no threshold {rule!r}; there are: {', '.join(said['decision'])}")
        self.threshold = float(said["decision"][rule])
        self._ids, self._buckets = np.array(said["vocabulary"], np.uint32), int(said["buckets"])
        self._graphs = GraphStream()

    def push(self, time: float, arbitration_id: int, dlc: int, payload: bytes) -> Verdict | None:
        """Take the next frame, `time` in s; returns the verdict on the window that it completes."""
        graph = self._graphs.push(time, arbitration_id, dlc, payload)
        return None if graph is None else self._judged(graph)

    def _judged(self, graph: Graph) -> Verdict:
        nodes = len(graph.arbitration_id)
        feed = {
            "id_index": self._encoded(graph.arbitration_id),
            "x": graph.x,
            "edge_index": graph.edge_index,
            "edge_attr": graph.edge_attr,
            "graph": np.zeros(nodes, np.int64),
            "window": np.zeros(1, np.int64),
        }
        (logits,), node_logit = self._session.run(None, feed)
        score = float(logits[1] - logits[0])
        suspect = int(graph.arbitration_id[int(node_logit.argmax())])
        return Verdict(graph.begin, graph.end, score, score >= self.threshold, suspect)

    def _encoded(self, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Embedding indices, as kdgat_models.graphs.vocabulary has them."""
        if self._buckets:
            spread = (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
            return (1 + spread % np.uint64(self._buckets)).astype(np.int64)
        if not len(self._ids):
            return np.zeros(len(ids), np.int64)
        place = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[place] == ids, place + 1, 0).astype(np.int64)


def _require_known(model: str | Path, said: dict) -> None:
    if said.get("format") != FORMAT:
        raise ModelError(f"{model} is of format {said.get('format')}; this version reads {FORMAT}. Update kdgat-device")
    schema = said["schema"]
    sizes = len(schema["node_features"]) - 1, len(schema["edge_features"])
    if (schema["name"], schema["version"], sizes) != ("relative", 1, (FEATURES, EDGE_FEATURES)):
        raise ModelError(
            f"{model} reads features {schema['name']} version {schema['version']}; this version computes relative 1"
        )
    if (said["window_size"], said["stride"]) != (WINDOW, WINDOW):
        windows = f"windows of {said['window_size']} frames, one every {said['stride']}"
        raise ModelError(f"{model} reads {windows}; this version cuts windows of {WINDOW}, one after the other")

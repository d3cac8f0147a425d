"""A classifier as a graph of tensor operations with free numbers of nodes, edges and windows: ONNX, PyTorch's `.pt2`."""

import json
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jaxtyping
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from kdgat_models.checkpoint import Checkpoint
from kdgat_models.errors import UnsupportedError
from kdgat_models.files import atomic_path
from kdgat_models.networks.classifier import Classifier
from kdgat_models.registry import restore

INPUTS = ("id_index", "x", "edge_index", "edge_attr", "graph", "window")  # fields of a `GraphBatch`; `window` is any [graphs]
OUTPUTS = ("logits", "node_logit")
METADATA = "kdgat"  # key of what is said of the model inside of an ONNX file
FORMAT = 1


class ForExport(nn.Module):
    """A classifier whose number of graphs is the length of an argument, so that it may vary."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        id_index: Int[Tensor, "nodes"],
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
        graph: Int[Tensor, "nodes"],
        window: Int[Tensor, "graphs"],
    ) -> tuple[Tensor, Tensor]:
        """Logits [graphs, 2] and logits of nodes [nodes]; of `window` only the length counts."""
        output = self.network(id_index, x, edge_index, edge_attr, graph, window.shape[0])
        return output.logits, output.node_logit


def classifier_of(checkpoint: Checkpoint) -> Classifier:
    """The network of a checkpoint, ready for export.

    Raises:
        UnsupportedError: it is no classifier, or it leaves edges out depending on what they are.
        CheckpointError: as `checkpoint.restore`.
    """
    network = restore(checkpoint)
    if not isinstance(network, Classifier):
        raise UnsupportedError(f"a {checkpoint.config.model_type} cannot be exported: only the classifier (gat) can")
    if checkpoint.config.gat.self_loops == "replace":
        raise UnsupportedError(
            "gat.self_loops=replace drops edges by what they hold, which cannot be exported; train with gat.self_loops=add"
        )
    return network.eval()


def traced(checkpoint: Checkpoint) -> ExportedProgram:
    """The classifier as PyTorch's exported program; raises as `classifier_of`."""
    with quiet():
        return torch.export.export(ForExport(classifier_of(checkpoint)).eval(), _example(checkpoint), dynamic_shapes=_free())


def export_torch(checkpoint: Checkpoint, target: Path) -> None:
    """Write `target`, which `torch.export.load` opens; raises as `classifier_of`.

    It is not TorchScript: `torch.jit` is deprecated since PyTorch 2.10 and warns at every use.
    """
    program = traced(checkpoint)
    with atomic_path(target) as temporary, quiet():
        torch.export.save(program, temporary, extra_files={f"{METADATA}.json": json.dumps(description(checkpoint))})


def export_onnx(checkpoint: Checkpoint, target: Path) -> None:
    """Write `target` for onnxruntime, with `description(checkpoint)` in its metadata; raises as `classifier_of`."""
    network = ForExport(classifier_of(checkpoint)).eval()
    with quiet():
        program = torch.onnx.export(
            network,
            _example(checkpoint),
            dynamo=True,
            dynamic_shapes=_free(),
            input_names=INPUTS,
            output_names=OUTPUTS,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props[METADATA] = json.dumps(description(checkpoint))
        with atomic_path(target) as temporary:
            program.save(temporary, external_data=False)


def description(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a verdict needs beside the network, as JSON."""
    windows = checkpoint.config.preprocessing
    return {
        "format": FORMAT,
        "schema": checkpoint.schema,
        "vocabulary": list(checkpoint.vocabulary.ids),
        "buckets": checkpoint.vocabulary.buckets,
        "decision": checkpoint.decision.flat(),
        "window_size": windows.window_size,
        "stride": windows.stride,
    }


def _example(checkpoint: Checkpoint) -> tuple[Tensor, ...]:
    """Three windows, of as many nodes as no other size has: a size that occurs twice would be taken for one."""
    features, edge_features = len(checkpoint.schema["node_features"]) - 1, len(checkpoint.schema["edge_features"])
    graph = torch.tensor([0] * 5 + [1] * 9 + [2] * 4)
    edge_index = torch.tensor([[0, 1, 5, 6, 7, 14, 15], [1, 0, 6, 7, 5, 15, 14]])
    x, edge_attr = torch.zeros(18, features), torch.zeros(7, edge_features)
    return torch.zeros(18, dtype=torch.long), x, edge_index, edge_attr, graph, torch.arange(3)


def _free() -> tuple[dict[int, Dim], ...]:
    """Which sizes of the inputs may vary."""
    nodes, edges, graphs = Dim("nodes", min=1), Dim("edges", min=1), Dim("graphs", min=1)
    return {0: nodes}, {0: nodes}, {1: edges}, {0: edges}, {0: nodes}, {0: graphs}


@contextmanager
def quiet() -> Generator[None]:
    """Without what the exporter says of itself: PyTorch's own deprecations, no torchvision, two names for one size.

    Sizes are symbols while a network is traced, which checks of shapes, as tests have them, do not take for numbers.
    """
    logger = logging.getLogger("torch.onnx")
    level, checked = logger.level, jaxtyping.config.jaxtyping_disable
    logger.setLevel(logging.ERROR)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        jaxtyping.config.update("jaxtyping_disable", checked)

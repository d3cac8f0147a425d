"""A base model's scores, in such a way that the score of a window does not depend on which windows are scored with it.

PyTorch's sums over a batch differ in their last bits with the size of the batch. A stream gives windows as they come, so a
verdict that has to be the same however it is cut needs each window on its own.
"""

from contextlib import suppress
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kdgat_models.errors import UnsupportedError
from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.finite import Origin, require_finite
from kdgat_models.graphs.store import GraphData
from kdgat_models.inference.compiled import CompiledClassifier
from kdgat_models.inference.windows import WindowGraphs
from kdgat_models.networks.classifier import Classifier, classify
from kdgat_models.networks.gat import GAT
from kdgat_models.scoring.fused import FusedDetector


class EngineOutput(NamedTuple):
    """Of G windows with N nodes."""

    score: NDArray[np.float64]  # [G]
    node_logit: NDArray[np.float32] | None  # [N], of "this ID attacks"; None: the model has no node head


class Engine(Protocol):
    """Runs one base model over all windows of some graphs."""

    def __call__(self, data: GraphData) -> EngineOutput:
        """Scores of all windows; raises a NonFiniteError if one is not finite."""
        ...


class Compiled:
    """A classifier as machine code, which runs window by window by itself."""

    def __init__(self, network: GAT) -> None:
        """Compile it.

        Raises:
            UnsupportedError: it has a part that is not compiled.
        """
        self.compiled, self.node_head = CompiledClassifier.of(network), network.node_head is not None

    def __call__(self, data: GraphData) -> EngineOutput:
        """Scores of all windows; raises a NonFiniteError if one is not finite."""
        store = data.store
        offsets = (store.node_offsets, store.edge_offsets)
        ends = (store.source.astype(np.int32), store.target.astype(np.int32))
        graphs = WindowGraphs(data.id_index, store.x, *ends, store.edge_attr, *offsets)
        output = self.compiled(graphs)
        score = (output.logits[:, 1] - output.logits[:, 0]).astype(np.float64)
        require_finite(score, ["the score"], Origin(store, np.arange(len(score))).describe)
        return EngineOutput(score, output.node_logit if self.node_head else None)


def engine_of(name: str, network: nn.Module, node_head: bool) -> "Engine":
    """The fastest engine for a base model: compiled where that is possible."""
    if isinstance(network, GAT):
        with suppress(UnsupportedError):
            return Compiled(network)
    return OneByOne(name, network, node_head)


class OneByOne:
    """Any model, in PyTorch, one window after the other."""

    def __init__(self, name: str, network: nn.Module, node_head: bool) -> None:
        self.name, self.network, self.node_head = name, network.eval(), node_head

    @torch.no_grad()
    def __call__(self, data: GraphData) -> EngineOutput:
        """Scores of all windows; raises a NonFiniteError if one is not finite."""
        windows = np.arange(len(data.store))
        parts = [extract(self.network, EXTRACTORS[self.name], data, windows[i : i + 1]).scores for i in windows]
        score = np.concatenate([np.zeros(0), *parts])
        if not self.node_head or not isinstance(self.network, Classifier):
            return EngineOutput(score, None)
        logits = [classify(self.network, data.batch(windows[i : i + 1])).node_logit.numpy() for i in windows]
        return EngineOutput(score, np.concatenate([np.zeros(0, np.float32), *logits]))


class FusedOneByOne:
    """A fusion and its base models, one window after the other."""

    def __init__(self, fused: FusedDetector, node_head: bool) -> None:
        self.fused = fused
        self.classifier = engine_of("gat", fused.base.networks["gat"], node_head)

    def __call__(self, data: GraphData) -> EngineOutput:
        """Scores of all windows; raises a NonFiniteError if one is not finite."""
        windows = np.arange(len(data.store))
        parts = [self.fused.run(data, windows[i : i + 1]).scores for i in windows]
        return EngineOutput(np.concatenate([np.zeros(0), *parts]), self.classifier(data).node_logit)

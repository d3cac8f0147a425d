"""A base model's scores, in such a way that the score of a window does not depend on which windows are scored with it.

PyTorch's sums over a batch differ in their last bits with the size of the batch. A stream gives windows as they come, so a
verdict that has to be the same however it is cut needs each window on its own.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.classifier import Classifier, classify
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
        self.classifier = OneByOne("gat", fused.base.networks["gat"], node_head)

    def __call__(self, data: GraphData) -> EngineOutput:
        """Scores of all windows; raises a NonFiniteError if one is not finite."""
        windows = np.arange(len(data.store))
        parts = [self.fused.run(data, windows[i : i + 1]).scores for i in windows]
        return EngineOutput(np.concatenate([np.zeros(0), *parts]), self.classifier(data).node_logit)

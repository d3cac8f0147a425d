"""Score and fusion features of the classifier, and the ID that it suspects."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from kdgat_models.extraction.extract import Extraction
from kdgat_models.graphs.batch import GraphBatch, over_windows
from kdgat_models.graphs.finite import Origin, require_finite
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.classifier import classify


class GatFeatures:
    """Two probabilities, four figures of the pooled embedding, and 1 - H / ln 2. The score is the difference of logits."""

    log_odds = True
    names = (
        "p_normal",
        "p_attack",
        "embedding_mean",
        "embedding_std",
        "embedding_max",
        "embedding_min",
        "confidence",
    )

    def __call__(self, network: nn.Module, batch: GraphBatch) -> Extraction:
        output = classify(network, batch)
        log_p = F.log_softmax(output.logits, 1)
        entropy = -(log_p.exp() * log_p).sum(1, keepdim=True)
        e = output.embedding
        figures = torch.stack([e.mean(1), e.std(1, correction=0), e.amax(1), e.amin(1)], 1)
        features = torch.cat([log_p.exp(), figures, 1 - entropy / math.log(2)], 1)
        return Extraction(features, output.logits[:, 1] - output.logits[:, 0])


@torch.no_grad()
def suspects(network: nn.Module, data: GraphData) -> NDArray[np.uint32]:
    """Arbitration ID [windows of the store] with the highest logit of the node head in each window.

    Raises:
        NonFiniteError: a logit is not finite.
    """
    network.eval()
    device, store = next(network.parameters()).device, data.store

    def accused(windows: NDArray[np.int64]) -> NDArray[np.int64]:
        logits = classify(network, data.batch(windows).to(device)).node_logit.cpu().numpy()
        first, end = store.node_offsets[windows[0]], store.node_offsets[windows[-1] + 1]
        offsets = np.append(store.node_offsets[windows], end) - first
        window = np.repeat(np.arange(len(windows)), np.diff(offsets))
        require_finite(logits, ["the logit of a node"], lambda row, of=window, w=windows: Origin(store, w).describe(of[row]))
        return worst_nodes(logits, offsets) + first

    rows = np.concatenate([np.zeros(0, np.int64), *over_windows(np.arange(len(store)), accused)])
    return np.asarray(store.arbitration_id[rows])


def worst_nodes(logits: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The node [G] with the highest logit of each window.

    Args:
        logits: [N] of all nodes, those of a window together.
        offsets: [G + 1], first node of each window, and the end.
    """
    window = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.lexsort((logits, window))[offsets[1:] - 1]  # sorted by window, then by logit: the last of each window

"""What the world sees of a base model: its decision score for each window, and a few numbers for the fusion."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from kdgat_models.graphs.batch import GraphBatch, over_windows
from kdgat_models.graphs.finite import Origin, require_finite
from kdgat_models.graphs.store import GraphData


class Extraction(NamedTuple):
    """Per window: features for the fusion state, and the score on which the model alone decides."""

    features: Float[Tensor, "graphs features"]
    score: Float[Tensor, "graphs"]


@runtime_checkable
class Extractor(Protocol):
    """Batched: one call per batch of windows, never one per window."""

    @property
    def log_odds(self) -> bool:
        """Whether the score is a log-odds of "attack", for which a temperature and even odds mean something."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of their columns."""
        ...

    def __call__(self, network: nn.Module, batch: GraphBatch) -> Extraction:
        """What `network`, which is on the device of `batch`, gives for its windows."""
        ...


class Extracted(NamedTuple):
    """`Extraction` over many windows, on the CPU."""

    features: NDArray[np.float32]  # [windows, features]
    scores: NDArray[np.float64]  # [windows]


@torch.no_grad()
def extract(network: nn.Module, extractor: Extractor, data: GraphData, windows: NDArray[np.int64]) -> Extracted:
    """Run `network` over `windows` in their order, in batches.

    Raises:
        NonFiniteError: the network gives a feature or a score that is not finite.
    """
    network.eval()
    device = next(network.parameters()).device
    parts = over_windows(windows, lambda some: extractor(network, data.batch(some).to(device)))
    if not parts:
        return Extracted(np.zeros((0, len(extractor.names)), np.float32), np.zeros(0))
    features = torch.cat([part.features for part in parts]).cpu().numpy()
    scores = torch.cat([part.score for part in parts]).cpu().double().numpy()
    origin = Origin(data.store, windows)
    require_finite(features, extractor.names, origin.describe)
    require_finite(scores, ["the score"], origin.describe)
    return Extracted(features, scores)

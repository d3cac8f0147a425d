"""What fusion is given and what it gives back; the interface of all fusion methods."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from config.schema import FusionTraining
from config.sections import DQNArchitecture
from kdgat_models.fusion import features
from kdgat_models.graphs.finite import Origin, require_finite
from kdgat_models.graphs.schema import SchemaRecord


class FusionInputs(NamedTuple):
    """Per window: the state (features of all base models), and each base model's view in [0, 1], 0.5 at its threshold."""

    states: Float[Tensor, "windows state"]
    anomaly: Float[Tensor, "windows"]
    classifier: Float[Tensor, "windows"]

    def take(self, rows: Tensor) -> "FusionInputs":
        """The windows of these rows: indices, or a mask [windows]."""
        return FusionInputs(*(tensor[rows] for tensor in self))

    def to(self, device: torch.device) -> "FusionInputs":
        """The same on `device`."""
        return FusionInputs(*(tensor.to(device) for tensor in self))


class FusionData(NamedTuple):
    """Labelled inputs in time order; `following` is the row of the next window of the same capture, or -1 at its end."""

    inputs: FusionInputs
    label: Int[Tensor, "windows"]
    following: Int[Tensor, "windows"]


class FusionMethod(nn.Module, ABC):
    """Combines the views of the base models into one attack score in [0, 1]."""

    state_mean: Tensor
    state_std: Tensor

    def __init__(self, arch: DQNArchitecture, state_dim: int) -> None:
        super().__init__()
        self.state_clip = arch.state_clip
        self.register_buffer("state_mean", torch.zeros(state_dim))
        self.register_buffer("state_std", torch.ones(state_dim))

    @classmethod
    def from_config(cls, config: FusionTraining, num_ids: int, schema: SchemaRecord) -> "FusionMethod":
        """A new method for the states of our base models, whatever graphs these read."""
        return cls(config.dqn, features.state_dim())

    def fit_scale(self, states: Float[Tensor, "windows state"]) -> None:
        """Set the scale of the state from training states; it is kept in the checkpoint."""
        self.state_mean = states.mean(0)
        self.state_std = states.std(0, correction=0).clamp_min(1e-6)

    def scaled(self, states: Float[Tensor, "windows state"]) -> Float[Tensor, "windows state"]:
        """Standardised states; clipped, because an attack can be a thousand standard deviations away."""
        scaled = (states - self.state_mean) / self.state_std
        return scaled if self.state_clip is None else scaled.clamp(-self.state_clip, self.state_clip)

    @abstractmethod
    def forward(self, inputs: FusionInputs) -> Float[Tensor, "windows"]:
        """Attack score of each window."""


def fused_scores(method: FusionMethod, inputs: FusionInputs, origin: Origin | None = None) -> NDArray[np.float64]:
    """Attack scores of all windows, on the CPU.

    Args:
        method: Trained.
        inputs: Of the windows.
        origin: Which windows they are, for the message of an error.

    Raises:
        NonFiniteError: the method gives a score that is not finite.
    """
    method.eval()
    with torch.no_grad():
        scores = method(inputs.to(method.state_mean.device)).cpu().double().numpy()
    require_finite(
        scores, ["the score of the fusion"], origin.describe if origin else lambda row: f"window {row} of those given"
    )
    return scores

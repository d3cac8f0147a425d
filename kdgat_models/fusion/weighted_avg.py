"""Fusion by one weight for all windows: the simplest thing that an agent has to beat."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config.sections import DQNArchitecture
from kdgat_models.fusion.method import FusionInputs, FusionMethod
from kdgat_models.fusion.objective import FusionEntry, FusionObjective


class WeightedAverage(FusionMethod):
    """score = (1 - alpha) * anomaly + alpha * classifier with alpha = sigmoid(weight), learnt."""

    def __init__(self, arch: DQNArchitecture, state_dim: int) -> None:
        super().__init__(arch, state_dim)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: FusionInputs) -> Float[Tensor, "windows"]:
        """Attack score in [0, 1] of each window."""
        alpha = torch.sigmoid(self.weight)
        return (1 - alpha) * inputs.anomaly + alpha * inputs.classifier


WEIGHTED_AVG = FusionEntry(WeightedAverage, FusionObjective)

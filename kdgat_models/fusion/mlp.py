"""Fusion by a small network that reads the state and the two views, and gives the score itself."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config.sections import DQNArchitecture
from kdgat_models.fusion.method import FusionInputs, FusionMethod
from kdgat_models.fusion.objective import FusionEntry, FusionObjective


class MlpFusion(FusionMethod):
    """Logistic regression on two hidden layers."""

    def __init__(self, arch: DQNArchitecture, state_dim: int) -> None:
        super().__init__(arch, state_dim)
        self.layers = nn.Sequential(
            nn.Linear(state_dim + 2, 32), nn.ReLU(), nn.Dropout(arch.dropout), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
        )

    def forward(self, inputs: FusionInputs) -> Float[Tensor, "windows"]:
        """Attack score in [0, 1] of each window."""
        views = torch.stack([inputs.anomaly, inputs.classifier], 1)
        logit = self.layers(torch.cat([self.scaled(inputs.states), views], 1))[:, 0]
        return torch.sigmoid(logit.float())  # half precision has no number between 0.9995 and 1


MLP = FusionEntry(MlpFusion, FusionObjective)

"""Focal loss: what is classified well counts less (Lin et al. 2017)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from config.sections import LossConfig


def focal(
    logits: Float[Tensor, "graphs 2"], label: Int[Tensor, "graphs"], config: LossConfig, attack_share: float
) -> Float[Tensor, ""]:
    """Lin et al. 2017, eq. 4, without its weights of classes; mean over windows, in nats."""
    losses = F.cross_entropy(logits, label, reduction="none")
    return ((1 - torch.exp(-losses)) ** config.focal_gamma * losses).mean()

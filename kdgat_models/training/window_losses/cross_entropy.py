"""Cross-entropy of the labels of windows."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from config.sections import LossConfig


def cross_entropy(
    logits: Float[Tensor, "graphs 2"], label: Int[Tensor, "graphs"], config: LossConfig, attack_share: float
) -> Float[Tensor, ""]:
    """Mean over windows, in nats."""
    return F.cross_entropy(logits, label, reduction="none").mean()

"""Cross-entropy of the labels of windows, in which both classes count the same."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from config.sections import LossConfig


def weighted(
    logits: Float[Tensor, "graphs 2"], label: Int[Tensor, "graphs"], config: LossConfig, attack_share: float
) -> Float[Tensor, ""]:
    """Weighted by inverse class frequency in the training windows; the mean is a weighted one, in nats."""
    weight = logits.new_tensor([0.5 / max(1 - attack_share, 1e-6), 0.5 / max(attack_share, 1e-6)])
    return F.cross_entropy(logits, label, weight=weight)

"""What the classifier minimises: the error of windows, and of single nodes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from config.sections import LossConfig
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.gat import GatOutput


def window_loss(
    logits: Float[Tensor, "graphs 2"], label: Int[Tensor, "graphs"], config: LossConfig, attack_share: float
) -> Float[Tensor, ""]:
    """Cross-entropy of the windows' labels; weighted by inverse class frequency, or focal (Lin et al. 2017, eq. 4).

    `attack_share` is the share of attacks in the training windows, which the weights come from.
    """
    if config.name == "weighted":
        weight = logits.new_tensor([0.5 / max(1 - attack_share, 1e-6), 0.5 / max(attack_share, 1e-6)])
        return F.cross_entropy(logits, label, weight=weight)
    losses = F.cross_entropy(logits, label, reduction="none")
    if config.name == "focal":
        losses = (1 - torch.exp(-losses)) ** config.focal_gamma * losses
    return losses.mean()


def node_loss(output: GatOutput, batch: GraphBatch, config: LossConfig) -> Float[Tensor, ""]:
    """Binary cross-entropy of which ID attacks, mean over nodes; attacking nodes are weighted up, for they are few."""
    weight = output.node_logit.new_tensor(config.node_positive_weight)
    return F.binary_cross_entropy_with_logits(output.node_logit, batch.node_label.float(), pos_weight=weight)

"""What the classifier minimises: the error of windows, and of single nodes."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from config.plugins import load
from config.sections import LossConfig
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.classifier import ClassifierOutput

# (logits [graphs, 2], labels [graphs], settings, share of attacks in the training windows) -> scalar to minimise
WindowLoss = Callable[[Tensor, Tensor, LossConfig, float], Tensor]


def window_loss(name: str) -> WindowLoss:
    """The loss of windows called `name`, built in or of another package; raises as `config.plugins.load`."""
    return load("losses", name)


def node_loss(output: ClassifierOutput, batch: GraphBatch, config: LossConfig) -> Float[Tensor, ""]:
    """Binary cross-entropy of which ID attacks, mean over nodes; attacking nodes are weighted up, for they are few."""
    weight = output.node_logit.new_tensor(config.node_positive_weight)
    return F.binary_cross_entropy_with_logits(output.node_logit, batch.node_label.float(), pos_weight=weight)

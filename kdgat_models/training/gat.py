"""Training the classifier on the windows that a sampler chooses, alone or after a teacher."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from config.schema import GatTraining
from kdgat_models.errors import DatasetError
from kdgat_models.graphs.batch import GraphBatch, over_windows
from kdgat_models.graphs.splits import VALIDATION
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.classifier import classify
from kdgat_models.training.curriculum import Sampler
from kdgat_models.training.distillation import blended, softened_divergence
from kdgat_models.training.losses import node_loss, window_loss
from kdgat_models.training.objective import Draws, Objective, shuffled_batches, spread, window_parts
from kdgat_models.training.precision import mixed_precision


class _Teacher(NamedTuple):
    """A tuple, so that it is no part of the module that holds it: it has no parameters to train or to keep."""

    network: nn.Module
    logits: Tensor  # [windows of the store, 2]; NaN where it was not asked yet


class GatObjective(Objective[nn.Module]):
    """Minimises the loss of the windows' labels and, with a node head, that of which ID attacks.

    With a teacher, the total is alpha * softened divergence to its logits + (1 - alpha) * task. A teacher does not change,
    so it is asked once for each window, when the window is first drawn.
    """

    def __init__(
        self,
        network: nn.Module,
        data: GraphData,
        config: GatTraining,
        sampler: Sampler,
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.data, self.config, self.sampler = data, config, sampler
        self._teacher = _Teacher(teacher.eval(), torch.full((len(data.store), 2), torch.nan)) if teacher else None
        self.attack_share = len(sampler.attack) / (len(sampler.attack) + len(sampler.normal))
        self.settled_after = sampler.settled_after
        self.window_loss = window_loss(config.loss.name)
        self.validation_windows = spread(data.store.windows(VALIDATION), config.training.validation_windows)
        labels = data.store.label[self.validation_windows]
        if not labels.any() or labels.all():
            raise DatasetError(
                f"the classifier needs normal and attack windows to validate on; {int(labels.sum())} of {len(labels)} are "
                "attacks. Use longer captures with attacks, or raise preprocessing.validation_fraction"
            )

    def batches(self, epoch: int, draws: Draws) -> Iterator[NDArray[np.int64]]:
        """The windows that the sampler chooses for `epoch`, shuffled; arrays of at most `training.batch_size` store indices."""
        training = self.config.training
        windows = self.sampler.windows(epoch, draws.numpy)
        return shuffled_batches(windows, training.batch_size, training.min_steps_per_epoch, draws)

    def loss(self, batch: NDArray[np.int64], draws: Draws) -> dict[str, Tensor]:
        """Loss of the windows `batch` of the store.

        Returns:
            `total`, which is minimised; its terms `window` and, with a node head, `node`; with a teacher, `task`, their
            weighted sum, and `distillation`, of both of which `total` is a blend. Means over windows or nodes, in nats.
        """
        graphs = self._graphs(batch)
        output = classify(self.network, graphs)
        terms = {"window": self.window_loss(output.logits, graphs.label, self.config.loss, self.attack_share)}
        task = terms["window"]
        if self.config.gat.node_head and self.config.loss.node_weight:
            terms["node"] = node_loss(output, graphs, self.config.loss)
            task = task + self.config.loss.node_weight * terms["node"]
        if self._teacher is None:
            return {"total": task, **terms}
        taught = _taught(self._teacher, batch, graphs)
        distillation = softened_divergence(output.logits, taught, self.config.auxiliary.temperature)
        total = blended(distillation, task, self.config.auxiliary)
        return {"total": total, "task": task, "distillation": distillation, **terms}

    def parts(self, batch: NDArray[np.int64], count: int) -> list[tuple[NDArray[np.int64], float]]:
        """`batch` in `count` parts, each with its share of the windows: the weight of its loss."""
        return window_parts(batch, count, np.ones_like(batch))

    def validate(self) -> dict[str, float]:
        """Cross-entropy and accuracy over all validation windows, in their natural proportion."""
        found = over_windows(self.validation_windows, self._validate)
        count = len(self.validation_windows)
        return {"value": sum(loss for loss, _ in found) / count, "accuracy": sum(right for _, right in found) / count}

    def _validate(self, windows: NDArray[np.int64]) -> tuple[float, int]:
        """Sum of the cross-entropy over these windows, and how many are classified right."""
        graphs = self._graphs(windows)
        logits = classify(self.network, graphs).logits
        loss = F.cross_entropy(logits, graphs.label, reduction="sum").item()
        return loss, int((logits.argmax(1) == graphs.label).sum())

    def _graphs(self, windows: NDArray[np.int64]) -> GraphBatch:
        return self.data.batch(windows).to(next(self.network.parameters()).device)


@torch.no_grad()
def _taught(teacher: _Teacher, batch: NDArray[np.int64], graphs: GraphBatch) -> Tensor:
    """What the teacher says of a batch; it is asked for windows that it has not seen."""
    device, rows = graphs.x.device, torch.from_numpy(batch)
    if teacher.logits[rows].isnan().any():
        with mixed_precision(device, wanted=True):  # soft targets need no seventh digit
            logits = classify(teacher.network.to(device), graphs).logits
        teacher.logits[rows] = logits.float().cpu()
    return teacher.logits[rows].to(device)

"""Training the classifier on the windows that a sampler chooses, alone or after a teacher."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from config.schema import PipelineConfig
from kdgat_models.errors import DatasetError
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.splits import VALIDATION
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.gat import classify
from kdgat_models.training.curriculum import Sampler
from kdgat_models.training.distillation import blended, softened_divergence
from kdgat_models.training.objective import Draws, Objective, shuffled_batches, window_parts


class GatObjective(Objective[nn.Module]):
    """Minimises the cross-entropy of the window's label.

    With a teacher, the total is alpha * softened divergence to its logits + (1 - alpha) * cross-entropy.
    """

    def __init__(
        self,
        network: nn.Module,
        data: GraphData,
        config: PipelineConfig,
        sampler: Sampler,
        teacher_logits: Tensor | None = None,
    ) -> None:
        """`teacher_logits` [graphs of the store, 2] are computed once: a teacher does not change."""
        super().__init__()
        self.network = network
        self.data, self.config, self.sampler = data, config, sampler
        self.teacher_logits = teacher_logits
        self.settled_after = sampler.settled_after
        self.validation_windows = data.store.windows(VALIDATION)
        labels = data.store.label[self.validation_windows]
        if not labels.any() or labels.all():
            raise DatasetError(
                f"the classifier needs normal and attack windows to validate on; {int(labels.sum())} of {len(labels)} are "
                "attacks. Use longer captures with attacks, or raise preprocessing.validation_fraction"
            )

    def batches(self, epoch: int, draws: Draws) -> Iterator[NDArray[np.int64]]:
        training = self.config.training
        windows = self.sampler.windows(epoch, draws.numpy)
        return shuffled_batches(windows, training.batch_size, training.min_steps_per_epoch, draws)

    def loss(self, batch: NDArray[np.int64], draws: Draws) -> dict[str, Tensor]:
        graphs = self._graphs(batch)
        logits = classify(self.network, graphs).logits
        task = F.cross_entropy(logits, graphs.label)
        if self.teacher_logits is None:
            return {"total": task}
        teacher = self.teacher_logits[torch.from_numpy(batch)].to(logits.device)
        distillation = softened_divergence(logits, teacher, self.config.auxiliary.temperature)
        total = blended(distillation, task, self.config.auxiliary)
        return {"total": total, "task": task, "distillation": distillation}

    def parts(self, batch: NDArray[np.int64], count: int) -> list[tuple[NDArray[np.int64], float]]:
        return window_parts(batch, count, np.ones_like(batch))

    def validate(self) -> dict[str, float]:
        """Cross-entropy and accuracy over all validation windows, in their natural proportion."""
        loss, right = 0.0, 0
        for begin in range(0, len(self.validation_windows), 256):
            graphs = self._graphs(self.validation_windows[begin : begin + 256])
            logits = classify(self.network, graphs).logits
            loss += F.cross_entropy(logits, graphs.label, reduction="sum").item()
            right += int((logits.argmax(1) == graphs.label).sum())
        count = len(self.validation_windows)
        return {"value": loss / count, "accuracy": right / count}

    def _graphs(self, windows: NDArray[np.int64]) -> GraphBatch:
        return self.data.batch(windows).to(next(self.network.parameters()).device)

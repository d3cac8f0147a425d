"""Training the autoencoder on normal windows, alone or after a teacher."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from config.schema import VgaeTraining
from kdgat_models.errors import DatasetError
from kdgat_models.graphs.batch import GraphBatch, over_windows
from kdgat_models.graphs.splits import TRAIN, VALIDATION
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.autoencoder import Autoencoder, AutoencoderOutput, autoencoder_errors
from kdgat_models.training.distillation import blended, vgae_divergence
from kdgat_models.training.objective import Draws, Objective, shuffled_batches, spread, window_parts


class VgaeObjective(Objective[Autoencoder]):
    """Minimises the weighted loss terms over the nodes of normal windows.

    With a teacher, the total is alpha * (latent and reconstruction MSE to the teacher) + (1 - alpha) * task.
    """

    def __init__(self, network: Autoencoder, data: GraphData, config: VgaeTraining, teacher: Autoencoder | None = None) -> None:
        super().__init__()
        self.network = network
        self.data, self.config = data, config
        self.train_windows = data.store.windows(TRAIN, label=0)
        self.validation_windows = spread(data.store.windows(VALIDATION, label=0), config.training.validation_windows)
        if not len(self.train_windows) or not len(self.validation_windows):
            raise DatasetError(
                f"{len(self.train_windows)} normal windows to train and {len(self.validation_windows)} to validate the "
                "autoencoder on; both must exist. Add attack-free captures, or lower preprocessing.window_size"
            )
        # A tuple, because the teacher is no part of this module: it has no parameters to train or to keep.
        self._teacher = (teacher.eval(),) if teacher else None
        self.projection = nn.Linear(network.latent, teacher.latent) if teacher else nn.Identity()

    def batches(self, epoch: int, draws: Draws) -> Iterator[NDArray[np.int64]]:
        """Normal training windows, shuffled; arrays of at most `training.batch_size` store indices."""
        training = self.config.training
        windows, most = self.train_windows, self.config.curriculum.windows_per_epoch
        if len(windows) > most:  # what bounds an epoch of the classifier bounds this one
            windows = draws.numpy.choice(windows, most, replace=False)
        return shuffled_batches(windows, training.batch_size, training.min_steps_per_epoch, draws)

    def loss(self, batch: NDArray[np.int64], draws: Draws) -> dict[str, Tensor]:
        """Loss of the windows `batch` of the store, with z = mu + sigma * noise.

        Returns:
            `total`, which is minimised; the four terms of `AutoencoderErrors`; with a teacher, `task`, their weighted sum, and
            `distillation`, of both of which `total` is a blend. Means over nodes.
        """
        graphs = self._graphs(batch)
        noise = torch.randn(len(graphs.x), self.network.latent, generator=draws.torch).to(graphs.x.device)
        output = self.network(graphs.id_index, graphs.x, graphs.edge_index, noise)
        errors = autoencoder_errors(output, graphs)
        task = errors.total(self.network.arch).mean()
        terms = {name: value.mean() for name, value in errors._asdict().items()}
        if self._teacher is None:
            return {"total": task, **terms}
        with torch.no_grad():
            teacher: AutoencoderOutput = self._teacher[0].to(graphs.x.device)(graphs.id_index, graphs.x, graphs.edge_index)
        distillation = vgae_divergence(output, teacher, self.projection, self.config.auxiliary)
        total = blended(distillation, task, self.config.auxiliary)
        return {"total": total, "task": task, "distillation": distillation, **terms}

    def parts(self, batch: NDArray[np.int64], count: int) -> list[tuple[NDArray[np.int64], float]]:
        """`batch` in `count` parts, each with its share of the nodes: the weight of its loss."""
        offsets = self.data.store.node_offsets
        return window_parts(batch, count, offsets[batch + 1] - offsets[batch])

    def validate(self) -> dict[str, float]:
        """Mean loss over the nodes of normal validation windows, with z = mu."""
        found = over_windows(self.validation_windows, self._validate)
        return {"value": sum(total for total, _ in found) / sum(nodes for _, nodes in found)}

    def _validate(self, windows: NDArray[np.int64]) -> tuple[float, int]:
        """Sum of the loss over the nodes of these windows, and their number."""
        graphs = self._graphs(windows)
        output = self.network(graphs.id_index, graphs.x, graphs.edge_index)
        return autoencoder_errors(output, graphs).total(self.network.arch).sum().item(), len(graphs.x)

    def _graphs(self, windows: NDArray[np.int64]) -> GraphBatch:
        return self.data.batch(windows).to(next(self.network.parameters()).device)

"""What training any fusion method shares: its data, its class weights, its validation."""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.schema import FusionTraining
from kdgat_models.errors import DatasetError
from kdgat_models.fusion.method import FusionData, FusionInputs, FusionMethod
from kdgat_models.training.objective import Draws, Objective

Method = TypeVar("Method", bound=FusionMethod)


class _Held(nn.Module):
    """Labelled inputs that go to the device of the network that learns from them, and are no part of what is kept."""

    label: Tensor
    following: Tensor

    def __init__(self, data: FusionData) -> None:
        super().__init__()
        for name, tensor in (data.inputs._asdict() | {"label": data.label, "following": data.following}).items():
            self.register_buffer(name, tensor, persistent=False)

    def data(self) -> FusionData:
        inputs = FusionInputs(*(self.get_buffer(name) for name in FusionInputs._fields))
        return FusionData(inputs, self.label, self.following)


class FusionObjective(Objective[Method]):
    """Trains on validation windows, on which no base model trained; is validated on calibration windows.

    This base minimises the class-weighted binary cross-entropy of the fused score, which suits all methods whose score
    is differentiable.
    """

    class_weight: Tensor

    def __init__(self, network: Method, train: FusionData, validation: FusionData, config: FusionTraining) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self._train, self._validation = _Held(train), _Held(validation)
        for what, data in (("to train fusion on", train), ("to validate fusion on", validation)):
            if not 0 < int(data.label.sum()) < len(data.label):
                raise DatasetError(
                    f"{int(data.label.sum())} of {len(data.label)} windows {what} are attacks; both classes are needed. "
                    "Use longer captures with attacks, or raise preprocessing.validation_fraction and calibration_fraction"
                )
        network.fit_scale(train.inputs.states)
        count = torch.bincount(train.label, minlength=2)
        self.register_buffer("class_weight", len(train.label) / (2.0 * count), persistent=False)

    @property
    def train_data(self) -> FusionData:
        """What is learnt from, on the device of the network."""
        return self._train.data()

    @property
    def validation_data(self) -> FusionData:
        """What is validated on, on the device of the network."""
        return self._validation.data()

    def random_rows(self, size: int, draws: Draws) -> Iterator[Tensor]:
        """`fusion.steps_per_epoch` batches of rows drawn from all training windows."""
        for _ in range(self.config.fusion.steps_per_epoch):
            rows = torch.randint(len(self.train_data.label), (size,), generator=draws.torch)
            yield rows.to(self.class_weight.device)

    def batches(self, epoch: int, draws: Draws) -> Iterator[Tensor]:
        """Rows of the training data, drawn at random: `training.batch_size` in each batch."""
        return self.random_rows(self.config.training.batch_size, draws)

    def loss(self, batch: Tensor, draws: Draws) -> dict[str, Tensor]:
        """`total`: binary cross-entropy of the fused scores of the rows `batch`, each class with the same weight, in nats."""
        label = self.train_data.label[batch]
        score = self.network(self.train_data.inputs.take(batch)).clamp(1e-6, 1 - 1e-6)
        with torch.autocast(score.device.type, enabled=False):  # CUDA refuses this loss in half precision
            return {"total": F.binary_cross_entropy(score, label.float(), self.class_weight[label])}

    def validate(self) -> dict[str, float]:
        """Cross-entropy and accuracy at 0.5 of the fused score."""
        label = self.validation_data.label
        score = self.network(self.validation_data.inputs).clamp(1e-6, 1 - 1e-6)
        value = F.binary_cross_entropy(score, label.float()).item()
        return {"value": value, "accuracy": ((score >= 0.5) == (label == 1)).float().mean().item()}


class FusionEntry(NamedTuple):
    """A fusion method, and how it is trained: what a line of the registry refers to."""

    network: type[FusionMethod]
    objective: type[FusionObjective[Any]]

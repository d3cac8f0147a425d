"""The state of the training loop between two epochs, and its round trip through one safetensors file."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kdgat_models.checkpoint import differences, require_finite
from kdgat_models.errors import CheckpointError, ResumeError
from kdgat_models.files import atomic_path
from kdgat_models.training.objective import Objective

OBJECTIVE, BEST, OPTIMIZER = "objective/", "best/", "optimizer/"  # what the names of tensors begin with


class EpochReport(NamedTuple):
    """One epoch, as it is kept, logged and shown."""

    epoch: int  # from 1
    max_epochs: int
    steps: int
    train: dict[str, float]  # mean of each loss term
    validation: dict[str, float]
    best: bool  # the validation value is the lowest so far
    seconds: float
    parts: int  # that a batch was cut into, to fit a GPU


class LoopState(NamedTuple):
    """Where training stands between two epochs."""

    best_epoch: int  # from 1; 0 before the first
    best_value: float
    best_weights: dict[str, Tensor]
    history: tuple[EpochReport, ...]

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.history)

    @classmethod
    def fresh(cls) -> "LoopState":
        """Before the first epoch."""
        return cls(0, float("inf"), {}, ())

    def after_epoch(self, report: EpochReport, network: nn.Module) -> "LoopState":
        """The state after one more epoch, which keeps the network's weights if it was the best."""
        history = (*self.history, report)
        if not report.best:
            return self._replace(history=history)
        weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return LoopState(report.epoch, report.validation["value"], weights, history)


class StoredLoop(BaseModel):
    """The numbers of a LoopState, as they lie in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    best_epoch: int
    best_value: float
    history: tuple[EpochReport, ...]

    @model_validator(mode="after")
    def _best_epoch_is_in_the_history(self) -> Self:
        if [report.epoch for report in self.history] != list(range(1, len(self.history) + 1)):
            raise ValueError("history: the epochs do not follow each other")
        if not 1 <= self.best_epoch <= len(self.history):
            raise ValueError(f"best_epoch: {self.best_epoch} is not among the {len(self.history)} epochs")
        return self


def save_state(file: Path, state: LoopState, objective: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write everything that training needs to go on: weights, best weights, optimiser moments, counters."""
    tensors = {f"{OBJECTIVE}{name}": tensor for name, tensor in objective.state_dict().items()}
    tensors |= {f"{BEST}{name}": tensor for name, tensor in state.best_weights.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{index}/{name}": value for name, value in moments.items()}
    numbers = {"best_epoch": state.best_epoch, "best_value": state.best_value}
    loop = json.dumps(numbers | {"history": [report._asdict() for report in state.history]})
    # Networks may share tensors (best weights of an objective's own network); safetensors wants each its own memory.
    owned = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with atomic_path(file) as temporary:
        save_file(owned, temporary, metadata={"loop": loop, "digest": _digest(loop, owned)})


def load_state(file: Path, objective: Objective[Any], optimizer: torch.optim.Optimizer) -> LoopState:
    """Restore objective and optimiser from `file` and return the loop's state; a fresh state if there is no file.

    Raises:
        ResumeError: the file is torn, altered or the state of something else; nothing was restored.
    """
    if not file.exists():
        return LoopState.fresh()
    try:
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a dict
        if metadata["digest"] != _digest(metadata["loop"], tensors):
            raise ValueError("its digest is not that of its content: it was changed")
        loop = StoredLoop.model_validate_json(metadata["loop"], strict=True)
        require_finite(file, tensors)
        moments = _moments(_below(tensors, OPTIMIZER), list(objective.parameters()))
        weights, best = _below(tensors, OBJECTIVE), _below(tensors, BEST)
        for expected, found in ((objective.state_dict(), weights), (objective.network.state_dict(), best)):
            if differs := differences(expected, found):
                raise ValueError(differs)
    except (OSError, KeyError, ValueError, SafetensorError, CheckpointError) as error:
        raise ResumeError(f"{file} cannot be resumed from: {error}. Delete it to train from the beginning") from error
    objective.load_state_dict(weights)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return LoopState(loop.best_epoch, loop.best_value, best, loop.history)


def _moments(tensors: dict[str, Tensor], parameters: list[nn.Parameter]) -> dict[int, dict[str, Tensor]]:
    """The optimiser's moments by the number of their parameter; ValueError if they are of other parameters."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, field = name.split("/")
        if int(index) not in range(len(parameters)) or tensor.shape not in ((), parameters[int(index)].shape):
            raise ValueError(f"optimizer/{name} is of no parameter of this network")
        moments.setdefault(int(index), {})[field] = tensor
    return moments


def _digest(loop: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(loop.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

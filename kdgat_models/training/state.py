"""The state of the training loop between two epochs, and its round trip through one safetensors file."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kdgat_models.errors import CheckpointError
from kdgat_models.files import atomic_path


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
        return cls(0, float("inf"), {}, ())

    def after_epoch(self, report: EpochReport, network: nn.Module) -> "LoopState":
        """The state after one more epoch, which keeps the network's weights if it was the best."""
        history = (*self.history, report)
        if not report.best:
            return self._replace(history=history)
        weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return LoopState(report.epoch, report.validation["value"], weights, history)


def save_state(file: Path, state: LoopState, objective: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write everything that training needs to go on: weights, best weights, optimiser moments, counters."""
    tensors = {f"objective/{name}": tensor for name, tensor in objective.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best_weights.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in moments.items()}
    numbers = {"best_epoch": state.best_epoch, "best_value": state.best_value, "history": state.history}
    # Networks may share tensors (best weights of an objective's own network); safetensors wants each its own memory.
    owned = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with atomic_path(file) as temporary:
        save_file(owned, temporary, metadata={"loop": json.dumps(numbers)})


def load_state(file: Path, objective: nn.Module, optimizer: torch.optim.Optimizer) -> LoopState:
    """Restore objective and optimiser from `file` and return the loop's state; a fresh state if there is no file.

    Raises:
        CheckpointError: the file is not a state of this objective.
    """
    if not file.exists():
        return LoopState.fresh()
    try:
        with safe_open(file, "pt") as stored:
            numbers = json.loads(stored.metadata()["loop"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a dict
        objective.load_state_dict(_below(tensors, "objective/"))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimizer/").items():
            index, field = name.split("/")
            moments.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be resumed from: {error}. Delete it to train from the beginning") from error
    history = tuple(EpochReport(*report) for report in numbers["history"])
    return LoopState(numbers["best_epoch"], numbers["best_value"], _below(tensors, "best/"), history)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

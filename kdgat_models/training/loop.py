"""The one training loop: early stopping on validation, best weights, gradient clipping, mixed precision, resume."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from config.sections import TrainingConfig
from kdgat_models.errors import TrainingError
from kdgat_models.training.objective import Draws, Objective
from kdgat_models.training.precision import mixed_precision
from kdgat_models.training.state import EpochReport, LoopState, load_state, save_state


class FitResult(NamedTuple):
    """What a training run came to; the objective's network holds the best weights."""

    best_epoch: int
    best_value: float
    history: tuple[EpochReport, ...]  # of all epochs, also those before a kill
    seconds: float  # of this process
    peak_gpu_memory_mb: float  # of this process so far, of what torch allocates


def fit(
    objective: Objective[Any],
    config: TrainingConfig,
    seed: int,
    state_file: Path | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> FitResult:
    """Train `objective` and leave the weights of its best epoch in `objective.network`.

    Args:
        objective: Model, data and loss.
        config: Optimiser, epochs and patience.
        seed: Seed of everything that is random; the same seed gives the same weights on a CPU.
        state_file: Where the last epoch is kept; if it exists, training goes on after that epoch.
        on_epoch: Called after each epoch.

    Raises:
        TrainingError: a loss is not finite.
    """
    device = choose_device(config.device)
    objective.to(device)
    if config.compile:
        objective.network.compile(dynamic=True)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    state = load_state(state_file, objective, optimizer) if state_file else LoopState.fresh()
    split = BatchSplit.of(config, device)
    started = time.monotonic()
    while state.epoch < config.max_epochs and not _stopped(state, objective, config):
        begin = time.monotonic()
        steps, train = _train_epoch(objective, optimizer, config, Draws.of(seed, state.epoch), state.epoch, device, split)
        objective.eval()
        with torch.no_grad():
            validation = objective.validate()
        best = validation["value"] < state.best_value or not state.history
        seconds = round(time.monotonic() - begin, 3)
        report = EpochReport(state.epoch + 1, config.max_epochs, steps, train, validation, best, seconds, split.parts)
        state = state.after_epoch(report, objective.network)
        if state_file:
            save_state(state_file, state, objective, optimizer)
        on_epoch(report)
    objective.network.load_state_dict(state.best_weights)
    objective.eval()
    return FitResult(
        state.best_epoch,
        state.best_value,
        state.history,
        round(time.monotonic() - started, 3),
        torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0.0,
    )


def choose_device(device: str) -> torch.device:
    """`auto` is CUDA if there is a GPU, else the CPU."""
    return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device)


def _stopped(state: LoopState, objective: Objective[Any], config: TrainingConfig) -> bool:
    """Early stopping, which waits for a curriculum to be through: until then the task itself changes."""
    return state.epoch - max(state.best_epoch, objective.settled_after) >= config.patience


class BatchSplit:
    """Into how many parts a batch is cut so that it fits the GPU; gradients are accumulated over the parts."""

    def __init__(self, parts: int, half: bool) -> None:
        self.parts = parts
        self.half = half  # whether in half precision, where the device has it

    @classmethod
    def of(cls, config: TrainingConfig, device: torch.device) -> "BatchSplit":
        """What the config asks for at first; only a GPU gets a share of a batch at a time."""
        if device.type == "cuda":
            return cls(math.ceil(1 / config.batch_share), config.amp)
        return cls(1, config.amp_on_cpu)

    def backward(
        self, objective: Objective[Any], batch: Any, draws: Draws, device: torch.device, scaler: torch.amp.GradScaler
    ) -> dict[str, Tensor]:
        """Leave the gradients of `batch` in the parameters and return its losses.

        Raises:
            torch.OutOfMemoryError: also the smallest parts do not fit.
        """
        while True:
            before = draws.torch.get_state()
            try:
                return self._backward(objective, batch, draws, device, scaler)
            except torch.OutOfMemoryError:
                objective.zero_grad()
                if len(objective.parts(batch, self.parts * 2)) == len(objective.parts(batch, self.parts)):
                    raise
            # Outside of the handler: the exception holds the frames, and with them the tensors that did not fit.
            self.parts *= 2
            draws.torch.set_state(before)
            if device.type == "cuda":
                torch.cuda.empty_cache()

    def _backward(
        self, objective: Objective[Any], batch: Any, draws: Draws, device: torch.device, scaler: torch.amp.GradScaler
    ) -> dict[str, Tensor]:
        totals: dict[str, Tensor] = {}
        for part, weight in objective.parts(batch, self.parts):
            with mixed_precision(device, self.half):
                losses = objective.loss(part, draws)
            scaler.scale(losses["total"] * weight).backward()
            for name, loss in losses.items():
                totals[name] = totals.get(name, torch.zeros((), device=loss.device)) + loss.detach() * weight
        return totals


def _train_epoch(
    objective: Objective[Any],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    draws: Draws,
    epoch: int,
    device: torch.device,
    split: BatchSplit,
) -> tuple[int, dict[str, float]]:
    """One pass over the objective's batches; returns the number of steps and the mean of each loss term."""
    objective.train()
    scaler = torch.amp.GradScaler(enabled=config.amp and device.type == "cuda")
    totals: dict[str, float] = {}
    steps = 0
    with _seeded_dropout(draws, device):
        batches = list(objective.batches(epoch, draws))  # window numbers, not windows
        for batch in batches:
            _set_rate(optimizer, config, (epoch + steps / len(batches)) / config.max_epochs)
            optimizer.zero_grad()
            losses = split.backward(objective, batch, draws, device, scaler)
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(objective.parameters(), config.gradient_clip)
            scaler.step(optimizer)
            scaler.update()
            objective.after_step()
            steps += 1
            _add(totals, losses, epoch, steps)
    return steps, {name: total / steps for name, total in totals.items()}


def learning_rate(config: TrainingConfig, progress: float) -> float:
    """Learning rate at `progress` (0 to 1) through the run; it follows from the progress alone, so a resumed run keeps it."""
    if config.schedule == "constant":
        return config.lr
    rising = min(progress / 0.15, 1.0)
    falling = max(progress - 0.15, 0.0) / 0.85
    return config.lr * (0.04 + 0.96 * rising) * max(0.5 * (1 + math.cos(math.pi * falling)), 1e-4)


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainingConfig, progress: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, progress)


def _add(totals: dict[str, float], losses: dict[str, Tensor], epoch: int, step: int) -> None:
    for name, loss in losses.items():
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss {name} is {value} in epoch {epoch + 1}, step {step}: training diverged. "
                "Lower training.lr or training.gradient_clip"
            )
        totals[name] = totals.get(name, 0.0) + value


@contextmanager
def _seeded_dropout(draws: Draws, device: torch.device) -> Generator[None, None, None]:
    """Dropout takes no generator: seed the global one for an epoch, and give it back as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(draws.torch.initial_seed())
        yield

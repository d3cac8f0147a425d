"""What a stage says of its models and windows while it runs."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.schema import PipelineConfig
from config.sections import AuxiliaryConfig
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION, TRAIN, VALIDATION
from kdgat_models.graphs.store import GraphStore
from kdgat_models.training.loop import FitResult
from kdgat_models.training.memory import peak_memory_mb
from kdgat_models.training.state import EpochReport
from tasks.events import Distillation, EpochEnded, Trained, WindowsCounted
from tasks.stages.events import BEGAN, emit


def emit_distillation(auxiliary: AuxiliaryConfig, teacher: PipelineConfig | None = None, folder: Path | None = None) -> None:
    """Say whether a model is distilled, and from which teacher."""
    said = Distillation(name=auxiliary.name, temperature=auxiliary.temperature, alpha=auxiliary.alpha)
    taught_by = {"model": teacher.model_type, "scale": teacher.scale, "teacher": folder} if teacher else {}
    emit(said.model_copy(update=taught_by))


def emit_splits(dataset: GraphDataset) -> None:
    """Say what there is to learn from, to stop by, and to choose thresholds on."""
    for split, role in (("train", TRAIN), ("validation", VALIDATION), ("calibration", CALIBRATION)):
        emit_windows(split, dataset.train, dataset.train.windows(role))


def emit_windows(split: str, store: GraphStore, windows: NDArray[np.int64]) -> None:
    """Say how many windows, classes, nodes and edges a split has."""
    attacks = store.attack_type[windows[store.label[windows] == 1]]
    said = WindowsCounted(
        split=split,
        windows=len(windows),
        normal=int((store.label[windows] == 0).sum()),
        attack=len(attacks),
        attacks={name: int(n) for index, name in enumerate(store.attack_types) if (n := (attacks == index).sum())},
        nodes=int(np.diff(store.node_offsets)[windows].sum()),
        edges=int(np.diff(store.edge_offsets)[windows].sum()),
    )
    emit(said)


def emit_epoch(report: EpochReport) -> None:
    """Print the end of an epoch."""
    emit(EpochEnded(**report._asdict()))


def emit_summary(result: FitResult, parameters: int, checkpoint: Path) -> None:
    """Say what training came to: figures of the best epoch, where its weights are, what it cost."""
    best = result.history[result.best_epoch - 1]
    said = Trained(
        best_epoch=result.best_epoch,
        epochs=len(result.history),
        metrics={"train": best.train["total"], "validation": result.best_value}
        | {name: value for name, value in best.validation.items() if name != "value"},
        checkpoint=checkpoint,
        parameters=parameters,
        train_seconds=sum(report.seconds for report in result.history),
        seconds=round(time.monotonic() - BEGAN, 3),
        memory_mb=peak_memory_mb(),
        gpu_memory_mb=result.peak_gpu_memory_mb,
    )
    emit(said)

"""What all training stages share: new networks and teachers, fitting, publishing a checkpoint."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from config.files import load_config
from config.schema import ModelTraining
from config.sections import TrainingConfig
from kdgat_models.checkpoint import TENSORS, Checkpoint, FromConfig, N, Provenance, load_checkpoint, restore, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.errors import MissingTeacherError, ResumeError
from kdgat_models.files import write_json
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.training.loop import FitResult, choose_device, fit
from kdgat_models.training.objective import Objective
from tasks.artifact import Artifact
from tasks.stages.events import say
from tasks.stages.narration import emit_distillation, emit_epoch, emit_summary
from tasks.stages.reports import HISTORY

C = TypeVar("C", bound=ModelTraining)
STATE_FILE, CONFIG = "last_epoch.safetensors", "config.json"


def load_model(artifact: Artifact, dataset: GraphDataset, from_config: FromConfig[N], device: torch.device) -> N:
    """The model of an artifact, after making sure that it reads these graphs."""
    checkpoint = load_checkpoint(artifact.path, artifact.kind)
    dataset.require(checkpoint.schema, checkpoint.vocabulary)
    return restore(checkpoint, from_config).to(device)


def load_teacher(
    artifact: Artifact | None, config: ModelTraining, dataset: GraphDataset, from_config: FromConfig[N]
) -> N | None:
    """The teacher of a distilled run, or None for a run without distillation; the log says which."""
    if not config.auxiliary.distils:
        emit_distillation(config.auxiliary)
        return None
    if artifact is None:
        raise MissingTeacherError(f"{config.model_type} {config.scale} is to be distilled and was given no teacher")
    checkpoint = load_checkpoint(artifact.path, config.model_type)
    dataset.require(checkpoint.schema, checkpoint.vocabulary)
    emit_distillation(config.auxiliary, checkpoint.config, artifact.path)
    return restore(checkpoint, from_config).to(choose_device(config.training.device))


def new_network(config: C, dataset: GraphDataset, from_config: Callable[[C, int, SchemaRecord], N]) -> N:
    """A new network with weights that follow from the config's seed."""
    torch.manual_seed(config.seed)
    return from_config(config, dataset.vocabulary.num_ids, dataset.schema)


def fit_and_keep(objective: Objective[Any], training: TrainingConfig, seed: int, folder: Path) -> FitResult:
    """Train, going on after the last epoch of an earlier try in this folder, and keep the history.

    An earlier try whose state is torn or was changed is named and not gone on with: training begins anew.
    """
    try:
        result = fit(objective, training, seed, folder / STATE_FILE, emit_epoch)
    except ResumeError as error:
        say(f"{error}: it is deleted, training begins anew")
        (folder / STATE_FILE).unlink()
        result = fit(objective, training, seed, folder / STATE_FILE, emit_epoch)
    write_json(folder / HISTORY, [report._asdict() for report in result.history])
    return result


def publish_model(
    kind: str,
    folder: Path,
    dataset: GraphDataset,
    network: nn.Module,
    result: FitResult,
    decision: Decision,
    inputs: Mapping[str, Artifact | None],
) -> Artifact:
    """Write the checkpoint and describe it, as an artifact of `kind`. The training state goes: it was only for resuming.

    The checkpoint has the whole config of the run, of which the stage was given its part: it lies in the folder.
    """
    config = load_config(folder / CONFIG)
    packages = {name: version(name) for name in ("torch", "torch-geometric")}
    provenance = Provenance(
        inputs={name: artifact.digest for name, artifact in inputs.items() if artifact is not None},
        best_epoch=result.best_epoch,
        best_value=result.best_value,
        epochs=len(result.history),
        versions={"python": platform.python_version(), **packages},
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    checkpoint = Checkpoint(config, dataset.schema, dataset.vocabulary, decision, network.state_dict(), provenance)
    digest = save_checkpoint(folder, checkpoint)
    (folder / STATE_FILE).unlink(missing_ok=True)
    emit_summary(result, parameters, folder / TENSORS)
    summary = {
        "parameters": parameters,
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "best_value": result.best_value,
        "train_seconds": result.seconds,
        "peak_gpu_memory_mb": result.peak_gpu_memory_mb,
    }
    return Artifact(kind=kind, path=folder, digest=digest, summary=summary)

"""What all training stages share: new networks and teachers, fitting, choosing thresholds, publishing a checkpoint."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from config.files import load_config
from config.schema import GatTraining, ModelTraining
from config.sections import TrainingConfig
from kdgat_models.checkpoint import TENSORS, Checkpoint, FromConfig, N, load_checkpoint, restore, save_checkpoint
from kdgat_models.errors import MissingTeacherError, ResumeError
from kdgat_models.evaluation.calibration import calibration_windows, temperature
from kdgat_models.evaluation.thresholds import EVEN_ODDS, choose_thresholds
from kdgat_models.extraction.extract import Extractor, extract
from kdgat_models.extraction.vgae import VgaeFeatures
from kdgat_models.files import write_json
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.networks.vgae import VGAE
from kdgat_models.training.curriculum import Sampler, make_sampler
from kdgat_models.training.loop import FitResult, choose_device, fit
from kdgat_models.training.objective import Objective
from tasks.artifact import Artifact
from tasks.stages.events import emit
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


def new_network(config: C, dataset: GraphDataset, from_config: Callable[[C, int, dict[str, Any]], N]) -> N:
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
        emit("log", message=f"{error}: it is deleted, training begins anew")
        (folder / STATE_FILE).unlink()
        result = fit(objective, training, seed, folder / STATE_FILE, emit_epoch)
    write_json(folder / HISTORY, [report._asdict() for report in result.history])
    return result


def calibration_thresholds(network: nn.Module, extractor: Extractor, dataset: GraphDataset) -> dict[str, float]:
    """Thresholds of a base model, and its temperature if its score is a log-odds: all from calibration windows."""
    windows = calibration_windows(dataset.train)
    scores = extract(network, extractor, dataset.train_data(), windows).scores
    labels = labels_of(dataset, windows)
    if extractor.log_odds:
        return choose_thresholds(scores, labels, EVEN_ODDS) | {"temperature": temperature(scores, labels)}
    return choose_thresholds(scores, labels)


def ranked_sampler(config: GatTraining, dataset: GraphDataset, vgae: Artifact | None) -> Sampler:
    """The windows of each epoch; if the curriculum ranks normal windows, then by the error of the autoencoder."""
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    difficulty: NDArray[np.float32] | None = None
    if config.curriculum.ranked and vgae is not None:
        network = load_model(vgae, dataset, VGAE.from_config, choose_device(config.training.device))
        difficulty = extract(network, VgaeFeatures(), dataset.train_data(), normal).scores.astype(np.float32)
    return make_sampler(normal, attack, difficulty, config.curriculum)


def labels_of(dataset: GraphDataset, windows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return dataset.train.label[windows]


def publish_model(
    kind: str,
    folder: Path,
    dataset: GraphDataset,
    network: nn.Module,
    result: FitResult,
    thresholds: dict[str, float],
    inputs: Mapping[str, Artifact | None],
) -> Artifact:
    """Write the checkpoint and describe it, as an artifact of `kind`. The training state goes: it was only for resuming.

    The checkpoint has the whole config of the run, of which the stage was given its part: it lies in the folder.
    """
    config = load_config(folder / CONFIG)
    provenance: dict[str, Any] = {
        "inputs": {name: artifact.digest for name, artifact in inputs.items() if artifact is not None},
        "best_epoch": result.best_epoch,
        "best_value": result.best_value,
        "epochs": len(result.history),
        "versions": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "torch-geometric": version("torch-geometric"),
        },
    }
    parameters = sum(parameter.numel() for parameter in network.parameters())
    checkpoint = Checkpoint(config, dataset.schema, dataset.vocabulary, thresholds, network.state_dict(), provenance)
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

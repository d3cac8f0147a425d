"""Graphs, autoencoder (-> teacher) -> trained classifier."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from config.schema import PipelineConfig
from kdgat_models.fusion.features import BATCH_WINDOWS, EXTRACTORS, extract
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.networks.gat import classify
from kdgat_models.training.curriculum import Sampler, make_sampler
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.loop import choose_device
from tasks.artifact import Artifact
from tasks.stages.common import (
    calibration_thresholds,
    fit_and_keep,
    load_model,
    load_teacher,
    new_network,
    publish_model,
)


def gat(config: PipelineConfig, folder: Path, graphs: Artifact, vgae: Artifact | None, teacher: Artifact | None) -> Artifact:
    """Train the classifier on the windows that the curriculum chooses by the autoencoder's score."""
    dataset = GraphDataset(graphs.path)
    network, teacher_network = new_network(config, dataset), load_teacher(teacher, config, dataset)
    sampler = _sampler(config, dataset, vgae)
    logits = None if teacher_network is None else _logits(teacher_network, dataset)
    objective = GatObjective(network, dataset.train_data(), config, sampler, logits)
    result = fit_and_keep(objective, config.training, config.seed, folder)
    thresholds = calibration_thresholds(network, "gat", dataset)
    inputs = {"graphs": graphs, "vgae": vgae, "teacher": teacher}
    return publish_model(config, folder, dataset, network, result, thresholds, inputs)


def _sampler(config: PipelineConfig, dataset: GraphDataset, vgae: Artifact | None) -> Sampler:
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    difficulty: NDArray[np.float32] | None = None
    if config.curriculum.sampling != "normal" and vgae is not None:
        network = load_model(vgae, dataset, "vgae", choose_device(config.training.device)).network
        difficulty = extract(network, EXTRACTORS["vgae"], dataset.train_data(), normal).scores.astype(np.float32)
    return make_sampler(normal, attack, difficulty, config.curriculum)


@torch.no_grad()
def _logits(teacher: nn.Module, dataset: GraphDataset) -> Tensor:
    """Teacher's logits [graphs of the store, 2]: a teacher does not change, so it is asked once."""
    data = dataset.train_data()
    device = next(teacher.parameters()).device
    everything = np.arange(len(dataset.train))
    batches = (everything[begin : begin + BATCH_WINDOWS] for begin in range(0, len(everything), BATCH_WINDOWS))
    return torch.cat([classify(teacher, data.batch(windows).to(device)).logits.cpu() for windows in batches])

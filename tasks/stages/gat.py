"""Graphs, autoencoder (-> teacher) -> trained classifier."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.schema import PipelineConfig
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import GatFeatures
from kdgat_models.extraction.vgae import VgaeFeatures
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.vgae import VGAE
from kdgat_models.training.curriculum import Sampler, make_sampler
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.loop import choose_device
from tasks.artifact import Artifact
from tasks.stages.narration import emit_splits
from tasks.stages.training import (
    calibration_thresholds,
    fit_and_keep,
    load_model,
    load_teacher,
    new_network,
    publish_model,
)


def gat(config: PipelineConfig, folder: Path, graphs: Artifact, vgae: Artifact | None, teacher: Artifact | None) -> Artifact:
    """Train the classifier on the windows that the curriculum chooses by the autoencoder's score."""
    dataset = GraphDataset(graphs.path, config.identity)
    network = new_network(config, dataset, GAT.from_config)
    teacher_network = load_teacher(teacher, config, dataset, GAT.from_config)
    emit_splits(dataset)
    sampler = _sampler(config, dataset, vgae)
    objective = GatObjective(network, dataset.train_data(), config, sampler, teacher_network)
    result = fit_and_keep(objective, config.training, config.seed, folder)
    thresholds = calibration_thresholds(network, GatFeatures(), dataset)
    inputs = {"graphs": graphs, "vgae": vgae, "teacher": teacher}
    return publish_model("gat", config, folder, dataset, network, result, thresholds, inputs)


def _sampler(config: PipelineConfig, dataset: GraphDataset, vgae: Artifact | None) -> Sampler:
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    difficulty: NDArray[np.float32] | None = None
    if config.curriculum.ranked and vgae is not None:
        network = load_model(vgae, dataset, VGAE.from_config, choose_device(config.training.device))
        difficulty = extract(network, VgaeFeatures(), dataset.train_data(), normal).scores.astype(np.float32)
    return make_sampler(normal, attack, difficulty, config.curriculum)

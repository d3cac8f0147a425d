"""Graphs (-> teacher) -> trained autoencoder."""

from pathlib import Path

from config.schema import PipelineConfig
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.networks.vgae import VGAE
from kdgat_models.training.vgae import VgaeObjective
from tasks.artifact import Artifact
from tasks.stages.common import calibration_thresholds, fit_and_keep, load_teacher, new_network, publish_model
from tasks.stages.events import emit_splits


def vgae(config: PipelineConfig, folder: Path, graphs: Artifact, teacher: Artifact | None) -> Artifact:
    """Train the autoencoder on normal windows."""
    dataset = GraphDataset(graphs.path, config.identity)
    network, teacher_network = new_network(config, dataset), load_teacher(teacher, config, dataset)
    emit_splits(dataset)
    assert isinstance(network, VGAE)
    assert teacher_network is None or isinstance(teacher_network, VGAE)
    objective = VgaeObjective(network, dataset.train_data(), config, teacher_network)
    result = fit_and_keep(objective, config.training, config.seed, folder)
    thresholds = calibration_thresholds(network, "vgae", dataset)
    return publish_model(config, folder, dataset, network, result, thresholds, {"graphs": graphs, "teacher": teacher})

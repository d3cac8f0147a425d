"""Graphs (-> teacher) -> trained autoencoder."""

from pathlib import Path

from config.schema import VgaeTraining
from tasks.artifact import Artifact


def train(config: VgaeTraining, folder: Path, graphs: Artifact, teacher: Artifact | None) -> Artifact:
    """Train the autoencoder on normal windows, beside the teacher if the config says that it is distilled."""
    from kdgat_models.evaluation.calibration import calibrated
    from kdgat_models.extraction.vgae import VgaeFeatures
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.networks.autoencoder import new_autoencoder
    from kdgat_models.training.vgae import VgaeObjective
    from tasks.stages.narration import emit_splits
    from tasks.stages.training import fit_and_keep, load_teacher, new_network, publish_model

    dataset = GraphDataset(graphs.path, config.identity)
    network = new_network(config, dataset, new_autoencoder)
    teacher_network = load_teacher(teacher, config, dataset, new_autoencoder)
    emit_splits(dataset)
    objective = VgaeObjective(network, dataset.train_data(), config, teacher_network)
    result = fit_and_keep(objective, config.training, config.seed, folder)
    decision = calibrated(network, VgaeFeatures(), dataset)
    inputs = {"graphs": graphs, "teacher": teacher}
    return publish_model("vgae", folder, dataset, network, result, decision, inputs)

"""Graphs, autoencoder (-> teacher) -> trained classifier."""

from pathlib import Path

from config.schema import GatTraining
from tasks.artifact import Artifact


def train(config: GatTraining, folder: Path, graphs: Artifact, vgae: Artifact | None, teacher: Artifact | None) -> Artifact:
    """Train the classifier on the windows that the curriculum chooses by the autoencoder's score."""
    from kdgat_models.extraction.gat import GatFeatures
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.networks.gat import GAT
    from kdgat_models.training.gat import GatObjective
    from tasks.stages.narration import emit_splits
    from tasks.stages.training import (
        calibration_thresholds,
        fit_and_keep,
        load_teacher,
        new_network,
        publish_model,
        ranked_sampler,
    )

    dataset = GraphDataset(graphs.path, config.identity)
    network = new_network(config, dataset, GAT.from_config)
    teacher_network = load_teacher(teacher, config, dataset, GAT.from_config)
    emit_splits(dataset)
    sampler = ranked_sampler(config, dataset, vgae)
    objective = GatObjective(network, dataset.train_data(), config, sampler, teacher_network)
    result = fit_and_keep(objective, config.training, config.seed, folder)
    thresholds = calibration_thresholds(network, GatFeatures(), dataset)
    inputs = {"graphs": graphs, "vgae": vgae, "teacher": teacher}
    return publish_model("gat", folder, dataset, network, result, thresholds, inputs)

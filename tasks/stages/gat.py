"""Graphs, autoencoder (-> teacher) -> trained classifier."""

from pathlib import Path

from config.schema import GatTraining
from tasks.artifact import Artifact


def train(config: GatTraining, folder: Path, graphs: Artifact, vgae: Artifact | None, teacher: Artifact | None) -> Artifact:
    """Train the classifier on the windows that the curriculum chooses by the autoencoder's score."""
    from kdgat_models.evaluation.calibration import calibrated
    from kdgat_models.extraction.gat import GatFeatures
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.networks.autoencoder import new_autoencoder
    from kdgat_models.networks.classifier import new_classifier
    from kdgat_models.training.gat import GatObjective
    from kdgat_models.training.loop import choose_device
    from kdgat_models.training.ranking import ranked_sampler
    from tasks.stages.explaining import keep_importance
    from tasks.stages.narration import emit_splits
    from tasks.stages.training import fit_and_keep, load_model, load_teacher, new_network, publish_model

    dataset = GraphDataset(graphs.path, config.identity)
    network = new_network(config, dataset, new_classifier)
    teacher_network = load_teacher(teacher, config, dataset, new_classifier)
    emit_splits(dataset)
    ranking = vgae if config.curriculum.ranked else None
    autoencoder = load_model(ranking, dataset, new_autoencoder, choose_device(config.training.device)) if ranking else None
    sampler = ranked_sampler(dataset, config.curriculum, autoencoder)
    objective = GatObjective(network, dataset.train_data(), config, sampler, teacher_network)
    result = fit_and_keep(objective, config.training, config.seed, folder)
    decision = calibrated(network, GatFeatures(), dataset)
    keep_importance(network, dataset, config.seed, folder)
    inputs = {"graphs": graphs, "vgae": vgae, "teacher": teacher}
    return publish_model("gat", folder, dataset, network, result, decision, inputs)

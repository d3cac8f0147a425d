"""Graphs, autoencoder, classifier -> trained fusion."""

from pathlib import Path

from config.schema import FusionTraining
from tasks.artifact import Artifact
from tasks.stages.events import say


def train(config: FusionTraining, folder: Path, graphs: Artifact, vgae: Artifact, gat: Artifact) -> Artifact:
    """Train fusion on validation windows, where the base models did not train; choose on calibration windows.

    It runs on the CPU: states are a few numbers per window, and a transfer costs more than the step.
    """
    from kdgat_models.fusion.decision import fusion_decision
    from kdgat_models.fusion.inputs import fusion_data
    from kdgat_models.fusion.methods import chosen_method, fusion_method
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.graphs.splits import CALIBRATION, VALIDATION
    from kdgat_models.scoring.fused import base_models
    from kdgat_models.scoring.models import open_trained_on
    from tasks.stages.narration import emit_distillation, emit_splits
    from tasks.stages.training import fit_and_keep, new_network, publish_model

    dataset = GraphDataset(graphs.path, config.identity)
    emit_distillation(config.auxiliary)
    emit_splits(dataset)
    say(
        "fusion learns from the validation windows; it stops, and its thresholds are chosen, by calibration windows",
    )
    models = {artifact.kind: open_trained_on(artifact.path, dataset, artifact.kind) for artifact in (vgae, gat)}
    base = base_models(dataset, models, config.decision.rule)
    train, held_out = (fusion_data(base, dataset, dataset.train.windows(role)) for role in (VALIDATION, CALIBRATION))
    method = new_network(config, dataset, chosen_method)
    objective = fusion_method(config.fusion.method).objective(method, train, held_out, config)
    limits = {"max_epochs": config.fusion.max_epochs, "patience": config.fusion.patience, "device": "cpu"}
    result = fit_and_keep(objective, config.training.model_copy(update=limits), config.seed, folder)
    decision = fusion_decision(method, held_out, dataset, base.scales)
    inputs = {"graphs": graphs, "vgae": vgae, "gat": gat}
    return publish_model("fusion", folder, dataset, method, result, decision, inputs)

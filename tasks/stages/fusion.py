"""Graphs, autoencoder, classifier -> trained fusion."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.schema import PipelineConfig
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.fusion.inputs import BaseModels, fusion_data
from kdgat_models.fusion.method import fused_scores
from kdgat_models.fusion.methods import METHODS, chosen_method
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.splits import CALIBRATION, VALIDATION
from tasks.artifact import Artifact
from tasks.stages.events import emit
from tasks.stages.models import open_trained_on
from tasks.stages.narration import emit_distillation, emit_splits
from tasks.stages.training import fit_and_keep, new_network, publish_model


def fusion(config: PipelineConfig, folder: Path, graphs: Artifact, vgae: Artifact, gat: Artifact) -> Artifact:
    """Train fusion on validation windows, where the base models did not train; choose on calibration windows.

    It runs on the CPU: states are a few numbers per window, and a transfer costs more than the step.
    """
    dataset = GraphDataset(graphs.path, config.identity)
    emit_distillation(config.auxiliary)
    emit_splits(dataset)
    emit(
        "log",
        message="fusion learns from the validation windows; it stops, and its thresholds are chosen, by calibration windows",
    )
    base = _base_models(dataset, vgae, gat, config.decision.rule)
    train, held_out = (fusion_data(base, dataset, dataset.train.windows(role)) for role in (VALIDATION, CALIBRATION))
    method = new_network(config, dataset, chosen_method)
    objective = METHODS[config.fusion.method].objective(method, train, held_out, config)
    limits = {"max_epochs": config.fusion.max_epochs, "patience": config.fusion.patience, "device": "cpu"}
    result = fit_and_keep(objective, config.training.model_copy(update=limits), config.seed, folder)
    windows = dataset.train.windows(CALIBRATION)
    decisive = np.isin(windows, calibration_windows(dataset.train, len(windows)))
    labels: NDArray[np.int64] = held_out.label.numpy()[decisive]
    scores = fused_scores(method, held_out.inputs, Origin(dataset.train, windows))
    thresholds = choose_thresholds(scores[decisive], labels) | base.saved_scales()
    inputs = {"graphs": graphs, "vgae": vgae, "gat": gat}
    return publish_model("fusion", config, folder, dataset, method, result, thresholds, inputs)


def _base_models(dataset: GraphDataset, vgae: Artifact, gat: Artifact, rule: str) -> BaseModels:
    """The two base models; their views are one half at the thresholds of the decision rule."""
    models = {name: open_trained_on(artifact, dataset, name) for name, artifact in (("vgae", vgae), ("gat", gat))}
    return BaseModels.of(
        dataset,
        {name: model.network for name, model in models.items()},
        {name: model.checkpoint.figure(rule) for name, model in models.items()},
    )

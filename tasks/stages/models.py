"""Opening trained models of any type, for stages that only use them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kdgat_models.checkpoint import Checkpoint, load_checkpoint
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionData, FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.schema import require_same_schema
from kdgat_models.graphs.splits import CALIBRATION
from kdgat_models.registry import restore
from tasks.artifact import Artifact


class LoadedModel(NamedTuple):
    """A checkpoint, and its network on the CPU."""

    checkpoint: Checkpoint
    network: nn.Module


def open_trained_on(artifact: Artifact, dataset: GraphDataset, model_type: str) -> LoadedModel:
    """The model of an artifact, after making sure that it was trained on graphs of this schema and vocabulary."""
    checkpoint = load_checkpoint(artifact.path, model_type)
    dataset.require(checkpoint.schema, checkpoint.vocabulary)
    return LoadedModel(checkpoint, restore(checkpoint))


def open_model(artifact: Artifact, dataset: GraphDataset, model_type: str) -> LoadedModel:
    """The model of an artifact, for graphs of its schema and of whatever vocabulary."""
    checkpoint = load_checkpoint(artifact.path, model_type)
    require_same_schema(checkpoint.schema, dataset.schema)
    return LoadedModel(checkpoint, restore(checkpoint))


def base_models(dataset: GraphDataset, vgae: Artifact, gat: Artifact, rule: str) -> BaseModels:
    """The two base models; their views are one half at the thresholds of the decision rule."""
    models = {name: open_trained_on(artifact, dataset, name) for name, artifact in (("vgae", vgae), ("gat", gat))}
    return BaseModels.of(
        dataset,
        {name: model.network for name, model in models.items()},
        {name: model.checkpoint.figure(rule) for name, model in models.items()},
    )


def fusion_thresholds(method: FusionMethod, held_out: FusionData, dataset: GraphDataset) -> dict[str, float]:
    """Thresholds of a fusion, chosen on those of the held-out windows that may choose one."""
    windows = dataset.train.windows(CALIBRATION)
    decisive = np.isin(windows, calibration_windows(dataset.train, len(windows)))
    labels: NDArray[np.int64] = held_out.label.numpy()[decisive]
    scores = fused_scores(method, held_out.inputs, Origin(dataset.train, windows))
    return choose_thresholds(scores[decisive], labels)

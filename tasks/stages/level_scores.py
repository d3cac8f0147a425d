"""Scores of a classifier, and of its fusion with an autoencoder, on the windows of a fold."""

import numpy as np
from numpy.typing import NDArray

from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from tasks.artifact import Artifact
from tasks.stages.models import open_model


def alone(dataset: GraphDataset, gat: Artifact, windows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores of a classifier."""
    model = open_model(gat, dataset, "gat")
    return extract(model.network, EXTRACTORS["gat"], dataset.seen_through(model.checkpoint.vocabulary), windows).scores


def fused(
    dataset: GraphDataset, gat: Artifact, vgae: Artifact, fusion: Artifact, windows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores of the fusion of a classifier and an autoencoder."""
    checkpoint, method = open_model(fusion, dataset, "dqn")
    assert isinstance(method, FusionMethod)
    networks = {name: open_model(model, dataset, name).network for name, model in (("vgae", vgae), ("gat", gat))}
    base = BaseModels.restored(networks, checkpoint.figure)
    inputs, _ = base.run(dataset.seen_through(checkpoint.vocabulary), windows)
    return fused_scores(method, inputs, Origin(dataset.train, windows))

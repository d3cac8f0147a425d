"""Opening trained models of any type, for stages that only use them."""

from typing import NamedTuple

from torch import nn

from kdgat_models.checkpoint import Checkpoint, load_checkpoint
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.schema import require_same_schema
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

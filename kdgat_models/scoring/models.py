"""Opening trained models of any type, for those that only use them."""

from pathlib import Path
from typing import NamedTuple

from torch import nn

from kdgat_models.checkpoint import Checkpoint, load_checkpoint
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.schema import require_same_schema
from kdgat_models.registry import restore


class LoadedModel(NamedTuple):
    """A checkpoint, and its network on the CPU, ready for use."""

    checkpoint: Checkpoint
    network: nn.Module


def open_model(folder: Path, dataset: GraphDataset, model_type: str) -> LoadedModel:
    """The model in `folder`, for graphs of its feature schema and of whatever vocabulary.

    Raises:
        CheckpointError: there is no whole checkpoint of this model type in the folder.
        SchemaError: the graphs have other features than those that the model reads.
    """
    checkpoint = load_checkpoint(folder, model_type)
    require_same_schema(checkpoint.schema, dataset.schema)
    return LoadedModel(checkpoint, restore(checkpoint))


def open_trained_on(folder: Path, dataset: GraphDataset, model_type: str) -> LoadedModel:
    """The model in `folder`, if it was trained on graphs of this feature schema and vocabulary; raises as `open_model`."""
    checkpoint = load_checkpoint(folder, model_type)
    dataset.require(checkpoint.schema, checkpoint.vocabulary)
    return LoadedModel(checkpoint, restore(checkpoint))

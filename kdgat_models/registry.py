"""The models: how each is made, and what fusion sees of it. One line per model."""

from typing import NamedTuple

from torch import nn

from config.schema import PipelineConfig
from kdgat_models import checkpoint as checkpoints
from kdgat_models.checkpoint import Checkpoint, FromConfig
from kdgat_models.extraction.extract import Extractor
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.methods import chosen_method
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.networks.autoencoder import new_autoencoder
from kdgat_models.networks.classifier import new_classifier


class ModelEntry(NamedTuple):
    """One model type; the stage that trains it has its name."""

    from_config: FromConfig[nn.Module]
    extractor: Extractor | None  # None: the model is not an input of fusion


REGISTRY: dict[str, ModelEntry] = {
    "vgae": ModelEntry(new_autoencoder, EXTRACTORS["vgae"]),
    "gat": ModelEntry(new_classifier, EXTRACTORS["gat"]),
    "fusion": ModelEntry(chosen_method, None),
}


def build(config: PipelineConfig, num_ids: int, schema: SchemaRecord) -> nn.Module:
    """A new network of the config's model type; weights are drawn from torch's global generator."""
    return REGISTRY[config.model_type].from_config(config, num_ids, schema)


def restore(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint of any model type, ready for use.

    Raises:
        CheckpointError: its tensors are not those of the network that its config describes; they are listed.
    """
    return checkpoints.restore(checkpoint, REGISTRY[checkpoint.config.model_type].from_config)

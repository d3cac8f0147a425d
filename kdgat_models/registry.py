"""The models: how each is made, at which stage it is trained, and what fusion sees of it. One line per model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from config.schema import PipelineConfig
from kdgat_models.checkpoint import Checkpoint, differences
from kdgat_models.errors import CheckpointError
from kdgat_models.fusion.features import EXTRACTORS, FusionFeatureExtractor, state_dim
from kdgat_models.fusion.methods import METHODS
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.vgae import VGAE


class ModelEntry(NamedTuple):
    """One model type."""

    from_config: Callable[[PipelineConfig, int, dict[str, Any]], nn.Module]  # config, num_ids, schema description
    stage: str
    extractor: FusionFeatureExtractor | None  # None: the model is not an input of fusion


def _vgae(config: PipelineConfig, num_ids: int, schema: dict[str, Any]) -> nn.Module:
    return VGAE(config.vgae, num_ids, len(schema["node_features"]) - 1, bounded=schema["bounded"])


def _gat(config: PipelineConfig, num_ids: int, schema: dict[str, Any]) -> nn.Module:
    return GAT(config.gat, num_ids, len(schema["node_features"]) - 1, len(schema["edge_features"]))


def _fusion(config: PipelineConfig, num_ids: int, schema: dict[str, Any]) -> nn.Module:
    return METHODS[config.fusion.method].make(config.dqn, state_dim())


REGISTRY: dict[str, ModelEntry] = {
    "vgae": ModelEntry(_vgae, "vgae", EXTRACTORS["vgae"]),
    "gat": ModelEntry(_gat, "gat", EXTRACTORS["gat"]),
    "dqn": ModelEntry(_fusion, "fusion", None),
}


def build(config: PipelineConfig, num_ids: int, schema: dict[str, Any]) -> nn.Module:
    """A new network of the config's model type; weights are drawn from torch's global generator."""
    return REGISTRY[config.model_type].from_config(config, num_ids, schema)


def restore(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint, ready for use.

    Raises:
        CheckpointError: its tensors are not those of the network that its config describes; they are listed.
    """
    require_fitting(checkpoint)
    network = build(checkpoint.config, checkpoint.vocabulary.num_ids, checkpoint.schema)
    network.load_state_dict(checkpoint.tensors)
    return network.eval()


def require_fitting(checkpoint: Checkpoint) -> None:
    """Raise a CheckpointError unless the tensors are those of the config's network, whose sizes cost no memory to find out."""
    with torch.device("meta"):
        network = build(checkpoint.config, checkpoint.vocabulary.num_ids, checkpoint.schema)
    found = differences(network.state_dict(), checkpoint.tensors)
    if found:
        raise CheckpointError(f"the tensors are not those of the {checkpoint.config.model_type} in its config: {found}")

"""Checkpoints of earlier versions of this project, brought to the form of this one when they are read.

Format 1: one method, the published one, and so a config without `method` and what came with it; a schema that does not say
whether it is bounded; a vocabulary without buckets. Format 2 says all that; its first versions had node heads as wide as a
layer, where later ones have a quarter, and wrote no reported changes into copies. Both called the fusion `dqn` until 0.4.
"""

from collections.abc import Mapping

from torch import Tensor

from config.files import current_values
from config.legacy import current_model_type
from config.plugins import names
from config.schema import PipelineConfig
from config.settings import Setting, Settings, section
from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.schemas import feature_schema

FORMAT = 2
READABLE = (1, 2)
NODE_HEAD = "node_head.0.weight"


def current_record(meta: Mapping[str, Setting]) -> Settings:
    """`checkpoint.json` of any readable format as this version would have written it; `meta` itself stays as it is.

    Raises:
        CheckpointError: the format is unknown, or its feature schema is.
        ConfigError: a key of its config is known neither to this version nor to an earlier one.
        KeyError: a field is missing.
    """
    if meta["format"] not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise CheckpointError(f"checkpoint format {meta['format']!r} is unknown; this version reads formats {known}")
    record = dict(meta) | {"format": FORMAT, "config": _current_config(section(meta, "config"))}
    if isinstance(meta["model_type"], str):
        record["model_type"] = current_model_type(meta["model_type"])
    if meta["format"] == 1 and isinstance(meta["schema"], Mapping):
        record |= {"buckets": 0, "schema": dict(meta["schema"]) | {"bounded": _is_bounded(meta["schema"])}}
    return record


def fitted_config(config: PipelineConfig, tensors: Mapping[str, Tensor]) -> PipelineConfig:
    """`config` with the width of the node head that `tensors` have: earlier versions did not write it down."""
    if NODE_HEAD not in tensors or tensors[NODE_HEAD].dim() != 2 or len(tensors[NODE_HEAD]) == config.gat.node_width:
        return config
    gat = config.gat.model_copy(update={"node_hidden": len(tensors[NODE_HEAD])})
    return config.model_copy(update={"gat": gat})


def _current_config(values: Mapping[str, Setting]) -> Settings:
    augmentation = values.get("augmentation", {"copies": 0})
    if isinstance(augmentation, Mapping):
        augmentation = {"events": False, **augmentation}
    return current_values({**values, "augmentation": augmentation})


def _is_bounded(schema: Mapping[str, Setting]) -> bool:
    known, name = names("feature_schemas"), schema["name"]
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(f"its feature schema {name!r} is unknown; there are: {', '.join(known)}")
    return feature_schema(name).bounded

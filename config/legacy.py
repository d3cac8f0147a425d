"""Flat JSON configs of older versions: `vgae_*`, `gat_*`, `dqn_*`, `kd_*`, `fusion_*` keys, teacher/student scales."""

import warnings
from collections.abc import Mapping

from config.resolver import check_key, config_keys, merged, method_settings, nested
from config.schema import PipelineConfig
from config.sections import CurriculumConfig, PreprocessingConfig, TrainingConfig
from config.settings import Setting, Settings, section

SECTIONS = {"vgae": "vgae", "gat": "gat", "dqn": "dqn", "kd": "auxiliary", "fusion": "fusion"}
SCALES = {"teacher": "large", "student": "small"}
MODEL_TYPES = {"dqn": "fusion"}  # the fusion was called after its first method
TOP_LEVEL = {"model": "model_type", "model_size": "scale"}
# Older names of fields, by their dotted name after the prefix was taken off.
RENAMED = {
    "vgae.hidden_dims": "vgae.hidden",
    "vgae.num_heads": "vgae.heads",
    "gat.hidden_channels": "gat.hidden",
    "gat.num_layers": "gat.layers",
    "gat.num_heads": "gat.heads",
    "gat.num_fc_layers": "gat.fc_layers",
    "gat.conv_type": "gat.conv",
    "dqn.hidden_dim": "dqn.hidden",
    "dqn.num_layers": "dqn.layers",
    "dqn.buffer_size": "dqn.replay_size",
    "dqn.target_update": "dqn.target_sync",
    "dqn.epsilon": "dqn.epsilon_start",
    "dqn.min_epsilon": "dqn.epsilon_end",
    "auxiliary.vgae_latent_weight": "auxiliary.latent_weight",
    "auxiliary.vgae_recon_weight": "auxiliary.reconstruction_weight",
    "fusion.episodes": "fusion.max_epochs",
}
NOT_OF_STAGES = ("memory_gb", "cap_gb")
RENAMED_TRAINING = {"learning_rate": "lr", "epochs": "max_epochs", "gradient_clip_val": "gradient_clip", "use_amp": "amp"}


def is_legacy(values: Mapping[str, Setting]) -> bool:
    """Whether `values` are flat: an older key, or a current field outside its section."""
    current = set(PipelineConfig.model_fields)
    return not any(isinstance(value, Mapping) for value in values.values()) and bool(set(values) - current)


def migrate(values: Mapping[str, Setting]) -> Settings:
    """Translate a flat config into sections.

    Raises:
        ConfigError: a key is known neither to older versions nor to this one; its nearest current name is given.
    """
    rest = dict(values)
    latent = rest.pop("vgae_latent_dim", None)
    result: Settings = {}
    if rest.pop("use_kd", False):
        result = {"auxiliary": {"name": "kd_standard"}}
    model_type = current_model_type(str(rest.get("model_type", rest.get("model", "vgae"))))
    for key, value in rest.items():
        name = _current_name(key, model_type)
        if name is None:
            warnings.warn(f"legacy setting {key!r} belongs to another model than {model_type!r} and is left out", stacklevel=2)
            continue
        result = merged(result, nested(name, SCALES.get(value, value) if name == "scale" and isinstance(value, str) else value))
    if "model_type" in result:
        result["model_type"] = model_type
    return _with_latent(result, latent)


def current_model_type(name: str) -> str:
    """What the model type is called now that an earlier version, or somebody used to it, calls `name`."""
    return MODEL_TYPES.get(name, name)


def with_current_names(values: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """`values` of an earlier version with what it called otherwise in today's words: a model type, memory of stages."""
    model_type = values.get("model_type")
    if isinstance(model_type, str) and model_type in MODEL_TYPES:
        values = {**values, "model_type": MODEL_TYPES[model_type]}
    return _with_memory_by_stage(values)


def as_published(values: Mapping[str, Setting]) -> Settings:
    """`values` of a version that knew no method but the published one, with what that one leaves to later settings."""
    return merged({"method": "published", **method_settings("published").everywhere}, values)


def _with_memory_by_stage(values: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """`values` with the memory of stages in one mapping; earlier versions had a setting for each, `resources.vgae_gb`."""
    resources = values.get("resources")
    if not isinstance(resources, Mapping):
        return values
    stages = {name: name.removesuffix("_gb") for name in resources if name.endswith("_gb") and name not in NOT_OF_STAGES}
    if not stages:
        return values
    kept = {name: value for name, value in resources.items() if name not in stages}
    memory_gb = {stage: resources[name] for name, stage in stages.items()}
    return {**values, "resources": merged({"memory_gb": memory_gb}, kept)}


def _current_name(key: str, model_type: str) -> str | None:
    if key in TOP_LEVEL:
        return TOP_LEVEL[key]
    prefix, _, field = key.partition("_")
    if prefix in SECTIONS and field:
        training = RENAMED_TRAINING.get(field, field)
        own = f"{prefix}.{field}" in config_keys(PipelineConfig)
        if prefix in ("vgae", "gat", "dqn") and not own and training in TrainingConfig.model_fields:
            return f"training.{training}" if current_model_type(prefix) == model_type else None
        name = RENAMED.get(f"{SECTIONS[prefix]}.{field}", f"{SECTIONS[prefix]}.{field}")
    else:
        name = _unprefixed(RENAMED_TRAINING.get(key, key))
    check_key(name)
    return name


def _unprefixed(field: str) -> str:
    for name, model in (
        ("training", TrainingConfig),
        ("preprocessing", PreprocessingConfig),
        ("curriculum", CurriculumConfig),
    ):
        if field in model.model_fields:
            return f"{name}.{field}"
    return field


def _with_latent(result: Settings, latent: Setting) -> Settings:
    """Older versions kept the latent width apart; now it is the last of `vgae.hidden`."""
    if latent is None:
        return result
    hidden = section(result, "vgae").get("hidden") or PipelineConfig().vgae.hidden
    first = hidden[:2] if isinstance(hidden, list | tuple) else [hidden]
    return merged(result, {"vgae": {"hidden": [*first, latent]}})

"""Configs as files: this version's, and those that older versions wrote."""

from collections.abc import Mapping
from pathlib import Path

from config.errors import ConfigError
from config.legacy import as_published, is_legacy, migrate, with_current_names
from config.resolver import validated
from config.schema import PipelineConfig
from config.settings import Setting, Settings
from config.strict_json import load_json


def load_config(path: Path) -> PipelineConfig:
    """Read a resolved config as JSON, of this version or one before; a flat one of an older version is migrated.

    Raises:
        ConfigError: the file is not JSON, or holds a key that is neither current nor known from older versions.
    """
    return PipelineConfig.model_validate(current_values(read_settings(path)))


def read_settings(path: Path) -> Settings:
    """What a config file states, by sections; raises ConfigError as `load_config`."""
    try:
        values = load_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a JSON config: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; a config is an object of settings")
    try:
        return dict(_by_sections(values))
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: a setting has a value of another kind than any version wrote: {error}") from error


def current_values(values: Mapping[str, Setting]) -> Settings:
    """All settings that `values`, of this version or one before, stand for; raises ConfigError as `load_config`."""
    try:
        values = _by_sections(values)
        return validated(values if "method" in values else as_published(values))
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"a setting has a value of another kind than any version wrote: {error}") from error


def _by_sections(values: Mapping[str, Setting]) -> Mapping[str, Setting]:
    return migrate(values) if is_legacy(values) else with_current_names(values)

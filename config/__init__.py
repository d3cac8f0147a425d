"""Configuration: schema, composition, paths and the dataset catalogue. Imports nothing from the other packages."""

from config.errors import ConfigError, KdgatError
from config.resolver import list_auxiliaries, list_models, resolve
from config.schema import PipelineConfig

__all__ = ["ConfigError", "KdgatError", "PipelineConfig", "list_auxiliaries", "list_models", "resolve"]

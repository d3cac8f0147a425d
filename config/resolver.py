"""Composition of a config: defaults.yaml -> methods/{method}.yaml -> models/{type}/{scale}.yaml -> what the method says of that
model and scale -> auxiliaries/{aux}.yaml -> what the dataset needs -> overrides.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from config.catalog import catalog
from config.errors import ConfigError
from config.schema import PipelineConfig
from config.settings import Setting, Settings, section

FOLDER = Path(__file__).resolve().parent
OF_A_STAGE = re.compile(r"resources\.(\w+)_gb")  # what memory of a stage was called in earlier versions
MAPPINGS = ("resources.memory_gb",)  # settings with names of their own below them


def list_models() -> dict[str, list[str]]:
    """Model types and the scales of each, as the YAML files define them."""
    folders = sorted(folder for folder in (FOLDER / "models").iterdir() if folder.is_dir())
    return {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}


def list_auxiliaries() -> list[str]:
    """Names that `resolve` takes as `auxiliaries`."""
    return sorted(file.stem for file in (FOLDER / "auxiliaries").glob("*.yaml"))


def list_methods() -> list[str]:
    """Values of the setting `method`."""
    return sorted(file.stem for file in (FOLDER / "methods").glob("*.yaml"))


class MethodSettings(NamedTuple):
    """What `methods/{method}.yaml` says."""

    everywhere: Settings
    of_models: Mapping[str, Setting]  # by model and scale: where the method differs from the scale's own file


def method_settings(method: str) -> MethodSettings:
    """The settings of one of `list_methods()`."""
    settings = _read(f"methods/{method}")
    of_models = section(settings, "models")
    return MethodSettings({name: value for name, value in settings.items() if name != "models"}, of_models)


def resolve(model_type: str, scale: str, auxiliaries: str = "none", /, **overrides: Any) -> PipelineConfig:
    """Compose the config of one model.

    Args:
        model_type: A key of `list_models()`.
        scale: One of that model's scales.
        auxiliaries: One of `list_auxiliaries()`.
        **overrides: Values by dotted name, `**{"training.lr": 0.001}`, or whole sections as dicts. Texts are read as
            YAML, so that `"[80, 40, 16]"` is a list.

    Raises:
        ConfigError: An unknown model, scale, auxiliary or key (the nearest valid one is named), or a wrong type; model type or
            scale among the overrides.
    """
    if twice := {"model_type", "scale"} & set(overrides):
        raise ConfigError(f"{' and '.join(sorted(twice))} cannot be overridden: {model_type} {scale} is what was asked for")
    models = list_models()
    model_file = _choice("model", model_type, list(models))
    scale_file = _choice(f"scale of {model_type}", scale, models[model_file])
    auxiliary_file = _choice("auxiliary", auxiliaries, list_auxiliaries())
    values: Settings = {"model_type": model_type, "scale": scale}
    method_file = _choice("method", overrides.get("method", PipelineConfig.model_fields["method"].default), list_methods())
    method = method_settings(method_file)
    for settings in (
        _read("defaults"),
        method.everywhere,
        _read(f"models/{model_file}/{scale_file}"),
        section(section(method.of_models, model_file), scale_file),
        _read(f"auxiliaries/{auxiliary_file}"),
    ):
        values = merged(values, settings)
    dataset = catalog().get(overrides.get("dataset", values["dataset"]))
    values = merged(values, {"resources": dict(dataset.resources) if dataset else {}})
    values = with_overrides(values, overrides)
    return PipelineConfig.model_validate(validated(values))


def with_overrides(values: Mapping[str, Setting], overrides: Mapping[str, Setting]) -> Settings:
    """`values` with settings by dotted name laid over them; texts are read as YAML.

    Raises:
        ConfigError: A name is unknown.
    """
    for name, value in overrides.items():
        values = merged(values, _nested(name, value))
    return dict(values)


def validated(values: Mapping[str, Setting]) -> Settings:
    """Return `values` if they make a valid PipelineConfig, else raise a ConfigError that names each wrong field."""
    for name in _flat_keys(values):
        check_key(name)
    try:
        return PipelineConfig.model_validate(values).model_dump()
    except ValidationError as error:
        raise ConfigError(f"the config is not valid:\n{describe_errors(error, PipelineConfig)}") from error


def describe_errors(error: ValidationError, model: type[BaseModel]) -> str:
    """One line per wrong field; an unknown one with the nearest field of `model`."""
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if not name:  # of settings that do not go together
            lines.append(f"  {item['msg'].removeprefix('Value error, ')}")
            continue
        nearest = difflib.get_close_matches(name, config_keys(model)) if item["type"] == "extra_forbidden" else []
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        lines.append(f"  {name} = {item['input']!r}: {item['msg']}{hint}")
    return "\n".join(lines)


def check_key(name: str) -> None:
    """Raise a ConfigError that names the nearest valid key unless `name` is the dotted name of a setting or section."""
    known = list(config_keys(PipelineConfig))
    if name in known or name.rpartition(".")[0] in MAPPINGS:
        return
    # A bare field name ("lr") is matched against last parts first: that is how people misspell a dotted name.
    leaf = name.rpartition(".")[2]
    by_leaf = sorted((key for key in known if key.rpartition(".")[2] == leaf), key=lambda key: key.count("."))
    renamed = OF_A_STAGE.fullmatch(name)
    nearest = (
        [f"resources.memory_gb.{renamed[1]}"] if renamed else by_leaf or difflib.get_close_matches(name, known, cutoff=0.4)
    )
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are: {', '.join(PipelineConfig.model_fields)}"
    raise ConfigError(f"unknown setting {name!r}; {hint}")


def config_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all sections and settings below `model`."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from config_keys(field.annotation, f"{prefix}{name}.")


def merged(base: Mapping[str, Setting], update: Mapping[str, Setting]) -> Settings:
    """`base` with `update` laid over it, section by section."""
    result = dict(base)
    for key, value in update.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def _read(file: str) -> Settings:
    return yaml.safe_load((FOLDER / f"{file}.yaml").read_text()) or {}


def _nested(name: str, value: Setting) -> Settings:
    check_key(name)
    return nested(name, yaml.safe_load(value) if isinstance(value, str) else value)


def nested(name: str, value: Setting) -> Settings:
    """`{"training": {"lr": 0.1}}` for `("training.lr", 0.1)`."""
    outer, *inner = name.split(".")
    return {outer: nested(".".join(inner), value) if inner else value}


def _flat_keys(values: Mapping[str, Setting], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _choice(what: str, given: str, known: list[str]) -> str:
    if given not in known:
        nearest = difflib.get_close_matches(given, known)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(f"unknown {what} {given!r}; there are: {', '.join(known)}{hint}")
    return given

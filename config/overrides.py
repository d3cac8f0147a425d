"""Settings that a user changes by name: for all models, or, as `VARIANT:NAME`, for those of one variant.

The graphs are shared by all variants, so what they are made of cannot be aimed.
"""

import difflib
from collections.abc import Collection, Mapping

from config.errors import ConfigError
from config.resolver import check_key
from config.settings import Setting, Settings
from config.variants import VARIANTS

# What all variants of a run share, and with it every section and setting that decides on it.
SHARED = ("preprocessing", "augmentation", "method", "modality", "pipeline", "hooks")
OPTIONS = {
    "dataset": "--dataset",
    "protocol": "--protocol of evaluate and ablate",
    "model_type": "--models",
    "scale": "--variants",
}


def parse_overrides(assignments: list[str], aimed: bool = False) -> dict[str, str]:
    """Split `["training.lr=0.001"]` into `{"training.lr": "0.001"}` and check each name.

    Args:
        assignments: As they stand on the command line.
        aimed: Whether `VARIANT:NAME=VALUE` is allowed.

    Raises:
        ConfigError: A text is no assignment, a name is given twice, unknown, or has an option of its own.
    """
    pairs: dict[str, str] = {}
    for assignment in assignments:
        name, separator, value = (part.strip() for part in assignment.partition("="))
        if not separator:
            raise ConfigError(f"override {assignment!r} has no value; write it as name=value, such as training.lr=0.001")
        if name in pairs:
            raise ConfigError(f"{name} is set twice, to {pairs[name]!r} and to {value!r}; leave one of them out")
        _check_name(name, aimed)
        pairs[name] = value
    return pairs


def overrides_of(overrides: Mapping[str, Setting], names: Collection[str]) -> Settings:
    """The settings of one variant that is known by `names`: those of all, and over them those that are aimed at it."""
    parts = [(*aim(name), value) for name, value in overrides.items()]
    own = {setting: value for variant, setting, value in parts if variant in names}
    everywhere = {setting: value for variant, setting, value in parts if not variant and setting not in own}
    return {**everywhere, **own}


def aim(name: str) -> tuple[str, str]:
    """The variant that a setting is aimed at, which is empty for all of them, and the setting."""
    variant, _, setting = name.rpartition(":")
    return variant, setting


def check_overrides(overrides: Mapping[str, Setting], part_of_run: Collection[str]) -> None:
    """Raise a ConfigError unless every setting is known and has an effect in a run of the variants `part_of_run`."""
    for name in overrides:
        _check_name(name, aimed=True)
        variant, _ = aim(name)
        if variant and variant not in part_of_run:
            raise ConfigError(f"{name} has no effect: {variant} is no part of this run, which has {', '.join(part_of_run)}")


def _check_name(name: str, aimed: bool) -> None:
    variant, setting = aim(name)
    is_aimed = ":" in name
    if is_aimed and not aimed:
        raise ConfigError(
            f"{name}: only `kdgat run` and `kdgat evaluate` have variants to aim a setting at; leave out {variant}:"
        )
    if is_aimed and variant not in VARIANTS:
        nearest = difflib.get_close_matches(variant, VARIANTS)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(f"unknown variant {variant!r} in {name}; there are: {', '.join(VARIANTS)}{hint}")
    check_key(setting)
    if setting in OPTIONS:
        raise ConfigError(f"{name} cannot be set: that is what {OPTIONS[setting]} is for")
    if is_aimed and setting.split(".")[0] in SHARED:
        raise ConfigError(
            f"{setting} cannot be aimed at {variant}: all variants of a run share their graphs; leave out {variant}:"
        )

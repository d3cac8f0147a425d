"""What `--variants`, `--models` and `--distillation` ask for together: which variants are made, and what they are called."""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from config.errors import ConfigError
from config.variants import DEFAULT_VARIANTS, DISTILLABLE, VARIANTS, Variant, VariantName, variant_of
from tasks.parameters import ALL_MODELS

WITH, WITHOUT = "with-kd", "no-kd"


class ChosenVariant(NamedTuple):
    """A variant of a run."""

    variant: Variant
    asked_as: str  # what the user called it, before the list of distillation gave it a name of its own

    @property
    def names(self) -> tuple[str, str]:
        """Names by which a setting may be aimed at it."""
        return self.variant.name, self.asked_as


class Choice(NamedTuple):
    """All variants of a run, the teachers' first."""

    variants: tuple[ChosenVariant, ...]
    models: tuple[str, ...]  # that are trained, in the order in which they stand on each other
    notes: tuple[str, ...]  # what the user has to know of how the request was read

    def distilled_models(self) -> set[str]:
        """Models that learn from a teacher in any of the variants."""
        return {model for chosen in self.variants for model in chosen.variant.distilled if model in self.models}


def choose(variants: Sequence[str] | None, models: Sequence[str], distillation: Sequence[str] | None) -> Choice:
    """Read the three lists.

    Args:
        variants: Names of `config.variants`; None: those of a run without a list of distillation, or small_kd with one.
        models: What is trained.
        distillation: `with-kd` or `no-kd` for each of `models`, in their order; a shorter list is padded with `no-kd`. It
            applies to the variants small_kd and tiny_kd. None: whatever can be distilled is.

    Raises:
        ConfigError: a name is unknown or doubled, a list is empty or too long, fusion is to be distilled, or the list and the
            variants contradict each other.
    """
    variants = default_variants(distillation) if variants is None else variants
    check_names("variant", variants, tuple(VARIANTS))
    check_names("model", models, ALL_MODELS)
    notes: list[str] = []
    chosen = [ChosenVariant(VARIANTS[name], name) for name in sorted(variants, key=list(VARIANTS).index)]
    if distillation is not None:
        asked = _by_model(models, distillation, notes)
        chosen = [_applied(each, asked, notes) for each in chosen]
        _refuse_contradiction(chosen, asked)
    unique = {each.variant.name: each for each in chosen}
    return Choice(tuple(unique.values()), tuple(model for model in ALL_MODELS if model in models), tuple(notes))


def default_variants(distillation: Sequence[str] | None) -> tuple[VariantName, ...]:
    """The variants that a command makes if none are named."""
    return DEFAULT_VARIANTS if distillation is None else ("small_kd",)


def check_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Raise a ConfigError unless `given` are some of `known`, each once."""
    wrong = [name for name in given if name not in known] or [name for name in dict.fromkeys(given) if given.count(name) > 1]
    if wrong:
        raise ConfigError(f"{what} {', '.join(wrong)!r} is unknown or doubled; there are: {', '.join(known)}")
    if not given:
        raise ConfigError(f"no {what} is given; there are: {', '.join(known)}")


def _by_model(models: Sequence[str], distillation: Sequence[str], notes: list[str]) -> dict[str, str]:
    """The list of distillation by the models that were listed."""
    unknown = [value for value in distillation if value not in (WITH, WITHOUT)]
    if unknown or not distillation:
        given = f"distillation {', '.join(unknown)!r} is unknown" if unknown else "no distillation is given"
        raise ConfigError(f"{given}; there are: {WITH}, {WITHOUT}, one for each of {','.join(models)}")
    if len(distillation) > len(models):
        raise ConfigError(
            f"{len(distillation)} values of distillation ({','.join(distillation)}) for {len(models)} models "
            f"({','.join(models)}); give one for each model, in the same order"
        )
    missing = models[len(distillation) :]
    if missing:
        notes.append(f"distillation has {len(distillation)} of {len(models)} values; {', '.join(missing)} taken as {WITHOUT}")
        warnings.warn(notes[-1], stacklevel=4)
    asked = dict(zip(models, [*distillation, *[WITHOUT] * len(missing)], strict=True))
    _refuse_distilled_fusion(asked)
    return asked


def _refuse_distilled_fusion(asked: Mapping[str, str]) -> None:
    if asked.get("fusion") != WITH:
        return
    job = list(asked).index("fusion") + 1
    others = ", ".join(f"{model} {choice}" for model, choice in asked.items() if model != "fusion")
    fine = f"The other jobs are fine as asked ({others}). " if others else ""
    mended = ",".join(WITHOUT if model == "fusion" else choice for model, choice in asked.items())
    raise ConfigError(
        f"job {job}, fusion + with-kd: fusion cannot be distilled: it learns from the states of its own base models, "
        f"which a teacher's fusion has never seen. {fine}Write --models {','.join(asked)} --distillation {mended}"
    )


def _applied(chosen: ChosenVariant, asked: Mapping[str, str], notes: list[str]) -> ChosenVariant:
    """A variant with the list of distillation applied, if it is one that the list is for."""
    name, scale, distilled = chosen.variant
    listed = {model: asked[model] == WITH for model in DISTILLABLE if model in asked}
    if not distilled or not listed:
        return chosen
    # A model that is not listed is one that was trained before: like those that are, or there is no such variant.
    others = all(listed.values())
    made = variant_of(scale, [model for model in DISTILLABLE if listed.get(model, others)])
    if made.name == name:
        return chosen
    if name != f"{scale}_kd":
        raise ConfigError(f"--variants {name} and --distillation {_text(asked)} contradict each other: that is {made.name}")
    notes.append(f"{name} with distillation {_text(asked)} is called {made.name}")
    return ChosenVariant(made, name)


def _refuse_contradiction(chosen: Sequence[ChosenVariant], asked: Mapping[str, str]) -> None:
    """with-kd, and no variant that is distilled."""
    wanted = [model for model, choice in asked.items() if choice == WITH]
    if wanted and not any(each.variant.distilled for each in chosen):
        names = ",".join(each.asked_as for each in chosen)
        raise ConfigError(
            f"--variants {names} and --distillation {_text(asked)} contradict each other: no model of {names} learns from a "
            f"teacher. Write --variants small_kd (with large, if the teachers are not trained yet), or leave {WITH} out"
        )


def _text(asked: Mapping[str, str]) -> str:
    return ",".join(asked.values())

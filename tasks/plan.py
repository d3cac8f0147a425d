"""What a pipeline run is going to do, decided and checked before anything starts."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.catalog import dataset_entry
from config.errors import ConfigError
from config.paths import Paths
from config.resolver import resolve
from config.schema import PipelineConfig, ResourcesConfig, Scale
from kdgat_models.errors import MissingTeacherError
from tasks.artifact import Artifact, read_artifact
from tasks.parameters import ALL_MODELS, Distillation, ModelName

MODELS = ALL_MODELS
STAGE_OF = {"vgae": "vgae", "gat": "gat", "dqn": "fusion"}
DEFAULT_DISTILLATION: dict[str, tuple[Distillation, ...]] = {
    "large": ("no-kd", "no-kd", "no-kd"),
    "small_kd": ("with-kd", "with-kd", "no-kd"),
    "small_nokd": ("no-kd", "no-kd", "no-kd"),
    "tiny_kd": ("with-kd", "with-kd", "no-kd"),
}


class VariantPlan(NamedTuple):
    """The models of one variant. A model that is not trained here is one that was trained before, or None."""

    name: str
    configs: dict[str, PipelineConfig]  # by model
    trains: tuple[str, ...]
    earlier: dict[str, Artifact | None]  # models that are needed and trained before
    teachers: dict[str, Artifact | None]  # from disk; None: of this run's `large` variant, or none needed


class PipelinePlan(NamedTuple):
    """All variants, the teachers' variant first."""

    dataset: str
    variants: tuple[VariantPlan, ...]
    notes: tuple[str, ...]  # what the user asked for and does not get, with the reason

    @property
    def config(self) -> PipelineConfig:
        """A config of this run, for the stages that all variants share."""
        return next(iter(self.variants[0].configs.values()))


def plan_pipeline(
    dataset: str,
    paths: Paths,
    *,
    variants: Sequence[str],
    models: Sequence[str],
    distillation: Sequence[str] | None = None,
    teachers: dict[str, Path] | None = None,
    overrides: dict[str, Any] | None = None,
) -> PipelinePlan:
    """Resolve all configs and find all teachers.

    Args:
        dataset: Name in the catalogue.
        paths: Where earlier runs lie.
        variants: Of `large`, `small_kd`, `small_nokd`.
        models: Of `vgae`, `gat`, `dqn`: what is trained.
        distillation: `with-kd` or `no-kd` for vgae, gat, dqn, in that order; a shorter list is padded with `no-kd`. It
            applies to the variant `small_kd`; None is `with-kd,with-kd,no-kd`.
        teachers: Run folders of teachers by model; others are found among the finished runs of the dataset.
        overrides: Settings by dotted name, for all models.

    Raises:
        ConfigError: an unknown name or setting.
        MissingTeacherError: a teacher is needed that neither exists nor is part of this run.
    """
    dataset_entry(dataset)
    _check_names("model", models, MODELS)
    _check_names("variant", variants, tuple(DEFAULT_DISTILLATION))
    _check_names("model of a teacher", list(teachers or {}), MODELS)
    asked, notes = _padded(distillation)
    trained = tuple(model for model in MODELS if model in models)
    plans = []
    for name in sorted(set(variants), key=list(DEFAULT_DISTILLATION).index):
        chosen = asked if name.endswith("_kd") and distillation is not None else DEFAULT_DISTILLATION[name]
        per_model = dict(zip(MODELS, chosen, strict=True))
        configs = _configs(dataset, scale_of(name), per_model, overrides or {})
        large_too = trained if "large" in variants else ()
        found = {model: _teacher(configs[model], paths, teachers or {}, large_too) for model in MODELS if model in trained}
        plans.append(VariantPlan(name, configs, trained, _earlier(configs, trained, paths), found))
    return PipelinePlan(dataset, tuple(plans), tuple(notes))


def all_settings(overrides: Mapping[str, Any] | None, seed: int, resources: ResourcesConfig | None) -> dict[str, Any]:
    """Settings by dotted name: those that have parameters of their own, and `overrides`, which win."""
    own = {f"resources.{name}": value for name, value in resources.model_dump(exclude_unset=True).items()} if resources else {}
    return {"seed": seed, **own, **(overrides or {})}


def scale_of(variant: str) -> Scale:
    """Scale of the models of a variant."""
    return "large" if variant == "large" else "tiny" if variant.startswith("tiny") else "small"


def _padded(distillation: Sequence[str] | None) -> tuple[tuple[str, ...], list[str]]:
    """The three choices of distillation, and what has to be said about them."""
    if distillation is None:
        return DEFAULT_DISTILLATION["small_kd"], []
    _check_names("distillation", distillation, ("with-kd", "no-kd"))
    if len(distillation) > len(MODELS):
        raise ConfigError(f"{len(distillation)} values of distillation for {len(MODELS)} models ({', '.join(MODELS)})")
    notes, choice = [], list(distillation)
    if len(choice) < len(MODELS):
        missing = ", ".join(MODELS[len(choice) :])
        notes.append(f"distillation has {len(choice)} values; {missing} are taken as no-kd")
        warnings.warn(notes[-1], stacklevel=3)
        choice += ["no-kd"] * (len(MODELS) - len(choice))
    if choice[2] == "with-kd":
        notes.append(
            "fusion is not distilled: it learns from the states of its own base models, which a teacher's fusion has never "
            "seen. It is trained as no-kd; the other stages are distilled as asked"
        )
        choice[2] = "no-kd"
    return tuple(choice), notes


def _configs(
    dataset: str, scale: Scale, distillation: Mapping[ModelName, str], overrides: dict[str, Any]
) -> dict[str, PipelineConfig]:
    auxiliary = {model: "kd_standard" if distillation[model] == "with-kd" else "none" for model in MODELS}
    return {model: resolve(model, scale, auxiliary[model], **{**overrides, "dataset": dataset}) for model in MODELS}


def _teacher(config: PipelineConfig, paths: Paths, given: dict[str, Path], in_this_run: tuple[str, ...]) -> Artifact | None:
    """The teacher on disk, or None where none is needed or this run trains it."""
    if not config.auxiliary.distils:
        return None
    model, stage = config.model_type, STAGE_OF[config.model_type]
    if model in given:
        return read_artifact(given[model], stage)
    if model in in_this_run:
        return None
    found = _latest(config.model_copy(update={"scale": "large", "auxiliary": type(config.auxiliary)()}), paths)
    if found is None:
        raise MissingTeacherError(
            f"no teacher for {model}: {config.dataset} has no finished {model} large. Train it with `kdgat run --dataset "
            f"{config.dataset} --variants large`, train it along with `--variants large,small_kd`, or name one with "
            f"`--teacher {model}=FOLDER`"
        )
    return found


def _earlier(configs: dict[str, PipelineConfig], trained: tuple[str, ...], paths: Paths) -> dict[str, Artifact | None]:
    """Models that the trained ones stand on and that are not trained now."""
    ranked = configs["gat"].curriculum.ranked
    needs = {"gat": ("vgae",) if ranked else (), "dqn": ("vgae", "gat")}
    needed = {model for name in trained for model in needs.get(name, ())} - set(trained)
    found: dict[str, Artifact | None] = {model: None for model in MODELS}
    for model in sorted(needed):
        found[model] = _latest(configs[model], paths)
        if found[model] is None:
            raise ConfigError(
                f"{', '.join(trained)} ({configs[model].scale}) stands on {model}, neither trained now nor before; add "
                f"it to --models{' or set curriculum.sampling=normal' if model == 'vgae' and 'dqn' not in trained else ''}"
            )
    return found


def _latest(config: PipelineConfig, paths: Paths) -> Artifact | None:
    stage = STAGE_OF[config.model_type]
    folder = paths.latest(config, stage)
    return read_artifact(folder, stage) if folder else None


def _fusion_of(config: PipelineConfig, vgae: Artifact | None, gat: Artifact | None, paths: Paths) -> Artifact | None:
    """The newest fusion that was trained on exactly these two models; variants share the folder of their scale."""
    wanted = {"vgae": vgae.digest if vgae else None, "gat": gat.digest if gat else None}
    for folder in reversed(paths.versions(config, "fusion")):
        inputs = json.loads((folder / "checkpoint.json").read_text())["provenance"]["inputs"]
        if all(inputs.get(model) == digest for model, digest in wanted.items()):
            return read_artifact(folder, "fusion")
    return None


def _check_names(what: str, given: Sequence[str], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or (len(set(given)) != len(given) and what != "distillation"):
        raise ConfigError(f"{what} {', '.join(unknown or given)!r} is unknown or doubled; there are: {', '.join(known)}")


def plan_evaluation(
    dataset: str, paths: Paths, *, variants: Sequence[str], overrides: dict[str, Any] | None = None
) -> PipelinePlan:
    """Find the newest models of each variant; nothing is trained.

    Raises:
        ConfigError: a variant has no finished model of this dataset.
    """
    dataset_entry(dataset)
    _check_names("variant", variants, tuple(DEFAULT_DISTILLATION))
    plans = []
    for name in variants:
        distillation = dict(zip(MODELS, DEFAULT_DISTILLATION[name], strict=True))
        configs = _configs(dataset, scale_of(name), distillation, overrides or {})
        found = {model: _latest(configs[model], paths) for model in ("vgae", "gat")}
        found["dqn"] = _fusion_of(configs["dqn"], found["vgae"], found["gat"], paths)
        if not any(found.values()):
            raise ConfigError(
                f"{dataset} has no finished {name} model in {paths.root}; train it with `kdgat run --variants {name}`"
            )
        plans.append(VariantPlan(name, configs, (), found, {}))
    return PipelinePlan(dataset, tuple(plans), ())

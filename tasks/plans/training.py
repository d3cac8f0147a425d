"""What a pipeline run is going to do, decided and checked before anything starts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from config.catalog import dataset_entry
from config.errors import ConfigError
from config.overrides import aim, check_overrides, overrides_of
from config.paths import Paths, versions
from config.resolver import resolve
from config.schema import PipelineConfig
from config.sections import ResourcesConfig
from config.settings import Setting, Settings
from config.variants import DISTILLABLE, VARIANTS, Variant
from kdgat_models.errors import CheckpointError
from tasks.artifact import Artifact
from tasks.parameters import ALL_MODELS
from tasks.plans.distillation import Choice, ChosenVariant, check_names, choose
from tasks.plans.sequence import Steps, steps_of
from tasks.plans.teachers import (
    Candidate,
    Fitting,
    KnownIds,
    find_teacher,
    given_teacher,
    newest,
    nobody_knows,
    read_candidate,
)
from tasks.stages.table import STAGES, train_fusion

BASIC = ("large", "small_kd", "small_nokd", "tiny_kd")  # variants that are missed when they are not trained


class VariantPlan(NamedTuple):
    """The models of one variant. A model that is not trained here is one that was trained before, or None."""

    name: str
    configs: dict[str, PipelineConfig]  # by model
    trains: tuple[str, ...]
    earlier: dict[str, Artifact | None]  # models that are needed and trained before
    teachers: dict[str, Artifact | None]  # from disk; None: of this run's `large` variant, or none needed

    def known(self) -> dict[str, Artifact]:
        """Models that were trained before, by name."""
        return {model: artifact for model, artifact in self.earlier.items() if artifact is not None}

    def teacher(self, model: str, of_this_run: Artifact | None) -> Artifact | None:
        """Who teaches a model; None: nobody does."""
        return (self.teachers[model] or of_this_run) if self.configs[model].auxiliary.distils else None


class PipelinePlan(NamedTuple):
    """All variants, the teachers' variant first."""

    dataset: str
    variants: tuple[VariantPlan, ...]
    notes: tuple[str, ...]  # what the user has to know of how the request was read
    config: PipelineConfig  # for the stages that all variants share: without what is aimed at one of them
    steps: Steps


def plan_pipeline(  # noqa: PLR0913  all of them by name
    dataset: str,
    paths: Paths,
    *,
    variants: Sequence[str] | None,
    models: Sequence[str],
    distillation: Sequence[str] | None = None,
    teachers: dict[str, Path] | None = None,
    overrides: Mapping[str, Setting] | None = None,
    known_ids: KnownIds = nobody_knows,
) -> PipelinePlan:
    """Resolve all configs and find all teachers.

    Args:
        dataset: Name in the catalogue.
        paths: Where earlier runs lie.
        variants: Of `config.variants`; None: large, small_kd and small_nokd, or small_kd alone with a list of distillation.
        models: Of `vgae`, `gat`, `fusion`: what is trained.
        distillation: `with-kd` or `no-kd` for each of `models`, in their order; see `tasks.plans.distillation.choose`.
        teachers: Run folders of teachers by model; others are found among the finished runs of the dataset.
        overrides: Settings by dotted name, for all models, or by VARIANT:NAME for those of one variant.
        known_ids: Arbitration IDs in the graphs of this run, if they are built; asked only when a teacher looks IDs up.

    Raises:
        ConfigError: an unknown name or setting, or a contradiction.
        MissingTeacherError: a teacher is needed that neither exists nor is part of this run.
        CheckpointError: a teacher that was given cannot teach.
    """
    dataset_entry(dataset)
    settings, given = overrides or {}, teachers or {}
    shared = _shared_config(dataset, settings)
    steps = steps_of(shared.pipeline)
    choice = choose(variants, models, distillation)
    choice = choice._replace(models=tuple(model for model in choice.models if model in steps))
    check_overrides(settings, [name for chosen in choice.variants for name in dict.fromkeys(chosen.names)])
    _check_given_teachers(given, choice)
    notes, plans = list(choice.notes), []
    large = next((each for each in choice.variants if each.variant.name == "large"), None)
    in_this_run = _configs(dataset, large, settings) if large else {}
    for chosen in choice.variants:
        configs = _configs(dataset, chosen, settings)
        found: dict[str, Artifact | None] = dict.fromkeys(ALL_MODELS)
        for model in (model for model in chosen.variant.distilled if model in choice.models):
            if model in given:
                candidate = given_teacher(given[model], configs[model], known_ids)
                found[model] = candidate.artifact
                notes += _foreign(candidate, dataset)
            elif large:
                _check_teacher_of_this_run(in_this_run[model], configs[model])
            else:
                found[model] = find_teacher(configs[model], paths, known_ids)
        earlier = _earlier(configs, choice.models, paths, known_ids)
        plans.append(VariantPlan(chosen.variant.name, configs, choice.models, earlier, found))
    _check_ranking(plans, steps)
    return PipelinePlan(dataset, tuple(plans), tuple(dict.fromkeys(notes)), shared, steps)


def _check_ranking(plans: Sequence[VariantPlan], steps: Steps) -> None:
    """A classifier whose windows are ranked stands behind the autoencoder that ranks them."""
    names = [step.name for step in steps.of_variant]
    for plan in plans:
        sampling = plan.configs["gat"].curriculum
        if "gat" in plan.trains and sampling.ranked and ("vgae" not in names or names.index("vgae") > names.index("gat")):
            raise ConfigError(
                f"pipeline.stages: gat misses its input vgae, by which curriculum.sampling={sampling.sampling} ranks windows: "
                f"vgae is skipped, or stands behind it. Write vgae before gat, or set curriculum.sampling=balanced"
            )


def all_settings(overrides: Mapping[str, Setting] | None, seed: int, resources: ResourcesConfig | None) -> Settings:
    """Settings by dotted name: those that have parameters of their own, and `overrides`, which win."""
    own = {f"resources.{name}": value for name, value in resources.model_dump(exclude_unset=True).items()} if resources else {}
    return {"seed": seed, **own, **(overrides or {})}


def _configs(dataset: str, chosen: ChosenVariant, settings: Mapping[str, Setting]) -> dict[str, PipelineConfig]:
    """Configs of a variant's models.

    Raises:
        ConfigError: a setting says otherwise than the variant whether a model is distilled.
    """
    name, scale, distilled = chosen.variant
    own = {**overrides_of(settings, chosen.names), "dataset": dataset}
    configs = {model: resolve(model, scale, "kd_standard" if model in distilled else "none", **own) for model in ALL_MODELS}
    for model, config in configs.items():
        if config.auxiliary.distils != (model in distilled):
            raise ConfigError(
                f"auxiliary.name={config.auxiliary.name} contradicts {name}, in which {model} is "
                f"{'distilled' if model in distilled else 'not distilled'}; say it by --distillation and --variants instead"
            )
    return configs


def _shared_config(dataset: str, settings: Mapping[str, Setting]) -> PipelineConfig:
    return resolve("vgae", "large", "none", **{**overrides_of(settings, ()), "dataset": dataset})


def _check_given_teachers(given: Mapping[str, Path], choice: Choice) -> None:
    """Every teacher that is given has to have a student in this run."""
    if given:
        check_names("model of a teacher", list(given), ALL_MODELS)
    for model, folder in given.items():
        if model not in DISTILLABLE:
            raise ConfigError(
                f"--teacher {model}={folder}: {model} is never distilled; models that are: {', '.join(DISTILLABLE)}"
            )
        if model not in choice.models:
            raise ConfigError(
                f"--teacher {model}={folder}: {model} is not trained, only {', '.join(choice.models)}; see --models"
            )
        if model not in choice.distilled_models():
            names = ", ".join(chosen.variant.name for chosen in choice.variants)
            raise ConfigError(f"--teacher {model}={folder}: no {model} is distilled in {names}; see --variants, --distillation")


def _foreign(teacher: Candidate, dataset: str) -> list[str]:
    if teacher.config.dataset == dataset:
        return []
    return [f"the teacher of {teacher.config.model_type} in {teacher.artifact.path} learnt on {teacher.config.dataset}"]


def _check_teacher_of_this_run(teacher: PipelineConfig, student: PipelineConfig) -> None:
    """Settings that are aimed at one of the two may keep them from reading the same batches."""
    if teacher.identity != student.identity:
        raise ConfigError(
            f"the large {teacher.model_type} of this run cannot teach the {student.scale} one: identity is "
            f"{teacher.identity.model_dump()} for one and {student.identity.model_dump()} for the other; set it for both"
        )


def _earlier(
    configs: dict[str, PipelineConfig], trained: Sequence[str], paths: Paths, known_ids: KnownIds
) -> dict[str, Artifact | None]:
    """Models that the trained ones stand on and that are not trained now."""
    ranked = configs["gat"].curriculum.ranked
    needs = {"gat": ("vgae",) if ranked else (), "fusion": ("vgae", "gat")}
    needed = {model for name in trained for model in needs.get(name, ())} - set(trained)
    found: dict[str, Artifact | None] = dict.fromkeys(ALL_MODELS)
    for model in sorted(needed):
        latest = _latest(configs[model], paths, Fitting(configs[model], known_ids).to_share_its_inputs)
        if not isinstance(latest, Candidate):
            unfit = "".join(f"\n  {line}" for line in latest)
            way_out = " or set curriculum.sampling=normal" if model == "vgae" and "fusion" not in trained else ""
            raise ConfigError(
                f"{', '.join(trained)} ({configs[model].scale}) stands on {model}, neither trained now nor before; add "
                f"it to --models{way_out}{f'. What was trained before does not fit:{unfit}' if unfit else ''}"
            )
        found[model] = latest.artifact
    return found


def _latest(config: PipelineConfig, paths: Paths, objections: Callable[[Candidate], list[str]]) -> Candidate | list[str]:
    found = versions(STAGES[config.model_type].family(paths, config))
    return newest(found[::-1], config.model_type, objections)


def plan_evaluation(
    dataset: str, paths: Paths, *, variants: Sequence[str] | None, overrides: Mapping[str, Setting] | None = None
) -> PipelinePlan:
    """Find the newest models of each variant; nothing is trained.

    Args:
        dataset: Name in the catalogue.
        paths: Where earlier runs lie.
        variants: Of `config.variants`; None: all that are trained, and the notes name the basic ones that are not.
        overrides: Settings by dotted name, for all models, or by VARIANT:NAME for those of one variant.

    Raises:
        ConfigError: a variant that was asked for, or any at all, has no finished model of this dataset.
    """
    entry, settings = dataset_entry(dataset), overrides or {}
    if variants is not None:
        check_names("variant", variants, tuple(VARIANTS))
    names = tuple(VARIANTS) if variants is None else tuple(variants)
    check_overrides(settings, names)
    notes: list[str] = []
    plans = [_trained_before(dataset, VARIANTS[name], settings, paths, notes) for name in names]
    chosen = _trained(plans) if variants is None else [plan for plan in plans if any(plan.earlier.values())]
    missing = [name for name in (BASIC if variants is None else names) if name not in {plan.name for plan in chosen}]
    train = f"train with `kdgat run --dataset {dataset} --variants {','.join(missing)} --modality {entry.domain}`"
    if missing and (variants is not None or not chosen):
        raise ConfigError(f"{dataset} has no finished {', '.join(missing)} model in {paths.root} that fits; {train}")
    if unused := {aim(name)[0] for name in settings} - {plan.name for plan in chosen} - {""}:
        raise ConfigError(
            f"a setting is aimed at {', '.join(sorted(unused))}, of which {dataset} has no finished model; {train}"
        )
    notes += [f"not trained yet and left out: {', '.join(missing)}; {train}"] if missing else []
    shared = _shared_config(dataset, settings)
    return PipelinePlan(dataset, tuple(chosen), tuple(dict.fromkeys(notes)), shared, steps_of(shared.pipeline))


def _trained_before(
    dataset: str, variant: Variant, settings: Mapping[str, Setting], paths: Paths, notes: list[str]
) -> VariantPlan:
    configs = _configs(dataset, ChosenVariant(variant, variant.name), settings)
    found: dict[str, Artifact | None] = dict.fromkeys(ALL_MODELS)
    for model in ("vgae", "gat"):
        latest = _latest(configs[model], paths, Fitting(configs[model]).to_read_its_graphs)
        found[model] = latest.artifact if isinstance(latest, Candidate) else None
    found["fusion"] = _fusion_of(configs["fusion"], found["vgae"], found["gat"], paths, notes)
    return VariantPlan(variant.name, configs, (), found, {})


def _trained(plans: Sequence[VariantPlan]) -> list[VariantPlan]:
    """Variants that were trained: those with a fusion of just their models, and basic ones with a model of their own.

    Variants share models: that there is a distilled and a plain small one does not mean that they belong together.
    """
    whole = [plan for plan in plans if plan.earlier["fusion"]]
    used = {artifact.path for plan in whole for artifact in plan.earlier.values() if artifact}
    names = {plan.name for plan in whole}
    names |= {
        plan.name for plan in plans if plan.name in BASIC and {each.path for each in plan.earlier.values() if each} - used
    }
    return [plan for plan in plans if plan.name in names]


def _fusion_of(
    config: PipelineConfig, vgae: Artifact | None, gat: Artifact | None, paths: Paths, notes: list[str]
) -> Artifact | None:
    """The newest fusion that was trained on exactly these two models; variants share the folder of their scale.

    One that cannot be read may be any variant's: it is passed over, which `notes` then say.
    """
    if vgae is None or gat is None:
        return None
    wanted = {"vgae": vgae.digest, "gat": gat.digest}
    earlier = paths.of(config.dataset) / f"dqn_{config.scale}_fusion_{config.fusion.method}"  # where it lay before 0.4
    found = [*versions(earlier), *versions(train_fusion.family(paths, config))]
    for folder in sorted(found, key=lambda folder: folder.name, reverse=True):
        try:
            candidate = read_candidate(folder, "fusion")
        except CheckpointError as error:
            notes.append(f"passed over: {error}")
            continue
        if all(candidate.inputs.get(model) == digest for model, digest in wanted.items()):
            return candidate.artifact
    return None

"""What an ablation is going to do: its levels, the configs of their models, the pools and folds that they need."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.ablation import BASE, FACTORS, Level, base_level, chosen_factors, fuses, run_name
from config.errors import ConfigError
from config.paths import Paths
from config.resolver import resolve
from config.schema import PipelineConfig
from config.settings import Settings
from kdgat_models.evaluation.protocols.registry import make_folds
from tasks.artifact import Artifact
from tasks.plans.checks import check_choices
from tasks.plans.protocol import ProtocolPlan, fold_artifact, plan_protocol

GRAPHS = {"preprocessing", "augmentation"}  # the sections that a pool is made of


class AblationPlan(NamedTuple):
    """The levels by the names of their runs, the base first."""

    protocol: ProtocolPlan
    factors: tuple[str, ...]
    levels: dict[str, Level]

    def config(self, model: str, scale: str, seed: int, run: str = BASE, **more: Any) -> PipelineConfig:
        """Config of a model. What a level says stands above what the user says, or it would not be that level."""
        base = {name: value for factor in self.factors for name, value in FACTORS[factor][base_level(factor)].items()}
        own = {**base, **self.levels[run], **more}
        return resolve(model, scale, **{**self.protocol.overrides, **own, **self.protocol.about, "seed": seed})

    def classifier(self, run: str, seed: int) -> PipelineConfig:
        """The classifier that is ablated; it is small, so that an ablation is affordable."""
        return self.config("gat", "tiny", seed, run)

    def teacher(self, seed: int) -> PipelineConfig:
        """The teacher of levels that distil: large, and taught by nobody."""
        return self.config("gat", "large", seed, **{"auxiliary.name": "none"})

    def autoencoder(self, seed: int) -> PipelineConfig:
        """For fusion, and for samplings that rank windows; both stand on the graphs of the base."""
        return self.config("vgae", "small", seed, **{"auxiliary.name": "none"})

    def fusion(self, run: str, seed: int) -> PipelineConfig:
        """The fusion of a level that fuses."""
        return self.config("fusion", "small", seed, run)

    def fused(self, run: str) -> bool:
        """Whether a level is scored by a fusion."""
        return fuses(self.levels[run])

    def needs_teacher(self, run: str) -> bool:
        """Whether the classifier of a level is distilled."""
        return self.classifier(run, 0).auxiliary.distils

    def ranked(self, run: str) -> bool:
        """Whether the classifier's training windows are ranked by an autoencoder."""
        return self.classifier(run, 0).curriculum.ranked

    def needs_autoencoder(self, run: str) -> bool:
        """Whether a level fuses, or ranks windows."""
        return self.fused(run) or self.ranked(run)

    def pool_of(self, run: str) -> str:
        """Key of the graphs of a level: levels of equal keys share a pool."""
        return self.classifier(run, 0).model_dump_json(include=GRAPHS)

    def pools(self) -> dict[str, PipelineConfig]:
        """Configs of all pools, by key."""
        return {self.pool_of(run): self.config("vgae", "small", 0, run) for run in self.levels}

    def table(self) -> dict[str, dict[str, str]]:
        """The levels of each factor, the base first, and the names of their runs."""
        return {factor: {level: run_name(factor, level) for level in FACTORS[factor]} for factor in self.factors}


class GraphsOfFold(NamedTuple):
    """A fold's graphs by the keys of their pools."""

    name: str
    graphs: dict[str, Artifact]


class Shared(NamedTuple):
    """What several levels of a fold and seed stand on, trained once; None: no level does."""

    teacher: Artifact | None
    vgae: Artifact | None


def plan_ablation(
    protocol: str,
    data_dir: Path | None,
    datasets: Sequence[str] | None,
    factors: Sequence[str] | None,
    overrides: Settings,
    paths: Paths,
) -> AblationPlan:
    """Find the datasets as the evaluation of a protocol does, and resolve the configs of all levels.

    Raises:
        ConfigError: an unknown protocol, dataset, factor or setting, or one that a factor varies.
    """
    chosen = chosen_factors(factors)
    for factor in chosen:
        _refuse_clash(factor, overrides)
    planned = plan_protocol(protocol, data_dir, None if datasets is None else tuple(datasets), overrides, paths)
    levels = {run_name(factor, name): level for factor in chosen for name, level in FACTORS[factor].items()}
    plan = AblationPlan(planned, chosen, {**levels, BASE: {}})
    for run in plan.levels:
        check_choices([plan.classifier(run, 0), plan.fusion(run, 0)])
    return plan


def chosen_folds(
    plan: AblationPlan, pools: dict[str, Artifact], names: Sequence[str] | None, paths: Paths
) -> list[GraphsOfFold]:
    """The folds called `names`, or all, as artifacts of every pool.

    Raises:
        ConfigError: there is no such fold; the known ones are named.
    """
    from tasks.stages.reports import capture_facts

    protocol = plan.protocol.protocol
    folds = {fold.name: fold for fold in make_folds(protocol, capture_facts(pools[plan.pool_of(BASE)].path))}
    unknown = [name for name in names or () if name not in folds]
    if unknown:
        raise ConfigError(f"unknown fold {', '.join(unknown)!r}; {protocol} has: {', '.join(folds)}")
    return [
        GraphsOfFold(name, {key: fold_artifact(protocol, fold, pool, paths) for key, pool in pools.items()})
        for name, fold in folds.items()
        if not names or name in names
    ]


def _refuse_clash(factor: str, overrides: Settings) -> None:
    """A setting that a factor varies cannot be set too; nor can `method`, which sets them all."""
    varied = {name for level in FACTORS[factor].values() for name in level}
    clash = [
        given
        for given in overrides
        if given == "method" or any(name == given or name.startswith(f"{given}.") for name in varied)
    ]
    if clash:
        raise ConfigError(
            f"{', '.join(clash)} cannot be set: it is what the ablation varies (factor {factor}). Leave it out"
            + ("" if clash == ["method"] else f", or leave {factor} out of --factors")
        )

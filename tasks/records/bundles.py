"""Which trained models go into a bundle: those of an evaluation, of a champion, or one alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from config.errors import ConfigError
from config.paths import INPUTS, METRICS
from config.sections import ModelType
from kdgat_models.bundle import AboutBundle, bundle_of
from kdgat_models.checkpoint import META, load_checkpoint
from kdgat_models.evaluation.nightly.champions import Champion
from kdgat_models.files import read_json
from tasks.artifact import read_artifact
from tasks.stages.reports import read_metrics

ALL: tuple[ModelType, ...] = ("vgae", "gat", "fusion")


class Trained(NamedTuple):
    """Trained models that belong together."""

    source: str  # where they were found, for messages
    folders: dict[ModelType, Path]  # run folders by model type, in the order of ALL
    measured: dict[str, JsonValue]  # what an evaluation came to, for the data sheet


def trained_in(folder: Path) -> Trained:
    """The models of an evaluation's run folder, or the one model of a training's.

    Raises:
        ConfigError: the folder is neither.
        CheckpointError: it is damaged.
    """
    if (folder / META).is_file():
        return Trained(str(folder), {load_checkpoint(folder).config.model_type: folder}, {})
    if not (folder / METRICS).is_file() or not (folder / INPUTS).is_file():
        raise ConfigError(f"{folder} is no run folder of an evaluation, nor of a trained model; `kdgat runs` lists them")
    read_artifact(folder, "evaluation")
    report = read_metrics(folder)
    rows = cast(JsonValue, [row.as_json() for row in report.rows])
    return Trained(str(folder), _paths(read_json(folder / INPUTS)), {"evaluated_on": report.dataset, "metrics": rows})


def trained_by(champion: Champion) -> Trained:
    """The models of a champion."""
    rows = cast(JsonValue, [row.as_json() for row in champion.rows])
    return Trained(champion.name, _paths(champion.models), {"evaluated_on": champion.dataset, "metrics": rows})


def make_bundle(trained: Trained, models: Sequence[str] | None, rule: str | None, target: Path) -> AboutBundle:
    """Write a bundle of some of the models.

    Args:
        trained: The models that there are.
        models: Those that are wanted; None: the classifier, which holds best on unknown vehicles, or what there is.
        rule: Decision rule that counts; None: that of the training.
        target: The file.

    Raises:
        ConfigError: a model that is wanted is not there, or is no use without the others.
        CheckpointError: a model is not whole, or has no threshold of the rule.
    """
    chosen = tuple(models or (("gat",) if "gat" in trained.folders else trained.folders))
    folders: dict[str, Path] = {**trained.folders}
    missing = [model for model in chosen if model not in folders]
    if missing:
        raise ConfigError(f"{trained.source} has no {', '.join(missing)}; it has: {', '.join(trained.folders)}")
    if "fusion" in chosen and len(chosen) < len(ALL):
        raise ConfigError("a fusion needs the models that it combines: ask for --models vgae,gat,fusion")
    checkpoints = {model: load_checkpoint(folders[model], model) for model in chosen}
    return bundle_of(checkpoints, target, rule, trained.measured)


def _paths(artifacts: Mapping[str, Any]) -> dict[ModelType, Path]:
    return {model: Path(artifacts[model]["path"]) for model in ALL if artifacts.get(model)}

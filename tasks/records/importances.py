"""Snapshots of importance: from the run folder of a classifier into the run store."""

from pathlib import Path

from config.errors import ConfigError
from config.paths import Paths, default_root
from config.schema import GatTraining, GraphBuilding, PipelineConfig
from config.sections import Scale
from config.variants import DISTILLABLE, VARIANTS
from kdgat_models.explanation.snapshots import IMPORTANCE, ImportanceReport, Origin, Snapshot, snapshot_of, write_snapshot
from kdgat_models.files import digest_json, read_record
from kdgat_models.runs.store import RunStore
from tasks.hooks import AfterStage

SHOWN_DIGITS = 12  # of a digest


def note_importance(event: AfterStage) -> None:
    """The hook: what a training that has just ended left of its features goes into the run store."""
    store_importance(RunStore(Paths(default_root()).store), event.config, event.artifact.path)


def store_importance(store: RunStore, config: PipelineConfig, folder: Path) -> Snapshot | None:
    """Keep what the training in the run folder `folder` found of its features; None: it found nothing.

    Raises:
        CheckpointError: its file is torn.
    """
    if not (folder / IMPORTANCE).is_file():
        return None
    variant = _classifier(config.scale, distilled=config.auxiliary.distils)
    about = (config.dataset, config.protocol, variant, config.model_type, config.scale, config.seed)
    fields = {*GatTraining.model_fields, *GraphBuilding.model_fields} - {"seed"}
    fitted = {"training": {"batch_share"}}  # to the memory of a GPU, from run to run: no result depends on it
    settings = digest_json(config.model_dump(mode="json", include=fields, exclude=fitted))[:SHOWN_DIGITS]
    origin = Origin(folder.name, *about, settings)
    snapshot = snapshot_of(origin, read_record(folder / IMPORTANCE, ImportanceReport))
    write_snapshot(store, snapshot)
    return snapshot


def classifier_of(variant: str) -> str:
    """What the classifier of a variant is called in snapshots: variants whose classifiers are the same share one.

    In `small_kd_vgae` only the autoencoder is distilled: its classifier is that of `small_nokd`, trained once for both.

    Raises:
        ConfigError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"unknown variant {variant!r}; there are: {', '.join(VARIANTS)}")
    return _classifier(VARIANTS[variant].scale, distilled="gat" in VARIANTS[variant].distilled)


def _classifier(scale: Scale, *, distilled: bool) -> str:
    whole = DISTILLABLE if distilled else ()
    named = [name for name, known in VARIANTS.items() if known.scale == scale and known.distilled == whole]
    return named[0] if named else f"{scale}_kd"

"""What can be known to be wrong with a run before its first job: its captures, the device, the space on disk."""

import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from config.catalog import FoundCaptures, dataset_entry, dataset_folder, find_captures
from config.choices import chosen
from config.errors import ConfigError
from config.paths import Paths
from config.plugins import load_entry
from config.schema import PipelineConfig
from config.settings import Settings
from tasks.parameters import ALL_MODELS
from tasks.plans.training import PipelinePlan, plan_pipeline

# Space that a run is sure to write for a byte of captures, well below what was measured: 0.3 for validated frames and 1.7 for
# graphs with one copy, per byte of CSV. A compressed byte is several.
WRITTEN_PER_BYTE, WRITTEN_PER_COMPRESSED_BYTE = 1.0, 4.0
MODELS_MB = 100.0  # checkpoints, run store, Prefect's and MLflow's databases


class RunRequest(NamedTuple):
    """What the user of `train_pipeline` asks for; see there."""

    dataset: str
    data_dir: Path | None = None
    variants: Sequence[str] | None = None
    models: Sequence[str] = ALL_MODELS
    distillation: Sequence[str] | None = None
    teachers: dict[str, Path] | None = None
    overrides: Settings | None = None
    on_bad_rows: str = "error"
    runner: str = "local"


def planned_run(request: RunRequest, paths: Paths) -> PipelinePlan:
    """The plan of a run that can begin, as far as this machine can tell. What a warning says is in its notes.

    Raises:
        PluginError: a package that adds what a config chooses cannot be imported.
        ConfigError: an unknown name, a contradiction, captures that are missing, a device that is not there, a full disk.
        CaptureError: a capture cannot be read, is empty, or is no capture.
        CheckpointError: a teacher is missing, or cannot teach.
    """
    asked = request._asdict()
    data_dir, on_bad_rows, runner = (asked.pop(name) for name in ("data_dir", "on_bad_rows", "runner"))

    def known_ids(config: PipelineConfig) -> Sequence[int] | None:
        from tasks.execution.preview import ids_at_hand  # knows Prefect's cache, which takes seconds to import

        return ids_at_hand(config, data_dir, on_bad_rows, paths)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        plan = plan_pipeline(paths=paths, known_ids=known_ids, **asked)
    check_choices(config for variant in plan.variants for config in variant.configs.values())
    found = check_captures(plan.dataset, data_dir, paths)
    if runner == "local":  # what the nodes of a cluster have is not known here
        check_device(config for variant in plan.variants for config in variant.configs.values())
    check_disk(plan.dataset, found, paths)
    return plan


def check_captures(dataset: str, data_dir: Path | None, paths: Paths) -> FoundCaptures | None:
    """The captures of a dataset, each of which can be opened and begins like one; None: they are simulated by the run.

    Raises:
        ConfigError: there are none.
        CaptureError: one cannot be read, is empty, or is no capture.
    """
    entry, folder = dataset_entry(dataset), dataset_folder(dataset, data_dir, paths)
    if entry.simulated and data_dir is None:
        return None
    from kdgat_models.can.ingest import reader_of  # takes a moment to import

    found = find_captures(dataset, folder)
    for files in found.captures.values():
        for file in files:
            reader_of(file, entry.readers)
    return found


def check_choices(configs: Iterable[PipelineConfig]) -> None:
    """Make sure that what configs choose of other packages can be loaded, and that networks are what they must be.

    Raises:
        ConfigError: a network stands where one of another role must.
        PluginError: a package cannot be imported.
    """
    for config in configs:
        for entry in chosen(config):
            if not entry.built_in:  # ours need no look, and take seconds to import
                load_entry(entry)
        if config.gat.network != "gat" or config.vgae.network != "vgae":
            from kdgat_models.networks.role import AUTOENCODER, CLASSIFIER, network_class

            network_class("gat.network", config.gat.network, CLASSIFIER)
            network_class("vgae.network", config.vgae.network, AUTOENCODER)


def check_device(configs: Iterable[PipelineConfig]) -> None:
    """Raise a ConfigError if a config asks for a GPU that this machine does not have."""
    if not any(config.training.device == "cuda" for config in configs):
        return
    import torch  # takes seconds, and nobody else waits for it

    if not torch.cuda.is_available():
        raise ConfigError(
            "training.device=cuda, and this machine has no GPU that torch can use; leave it out (auto), set "
            "training.device=cpu, or run where there is one with --runner slurm:PROFILE"
        )


def check_disk(dataset: str, found: FoundCaptures | None, paths: Paths) -> None:
    """Raise a ConfigError if the disk below the root cannot hold what a run is sure to write."""
    needed = MODELS_MB
    graphs_are_there = any((paths.root / dataset / "graphs").glob("*"))
    if found and not graphs_are_there:
        for file in (file for files in found.captures.values() for file in files):
            factor = WRITTEN_PER_COMPRESSED_BYTE if file.suffix in (".gz", ".zst") else WRITTEN_PER_BYTE
            needed += factor * file.stat().st_size / 2**20
    existing = next(folder for folder in (paths.root, *paths.root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**20
    if free < needed:
        raise ConfigError(
            f"the disk of {paths.root} has {free:,.0f} MB left, and the run needs at least {needed:,.0f} MB; make room, or "
            "choose another folder with --root"
        )

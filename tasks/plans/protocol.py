"""What the run of a protocol is going to do: its datasets, the settings of its models, its folds as artifacts."""

from pathlib import Path
from typing import Any, NamedTuple

from config.catalog import catalog, dataset_folder
from config.errors import ConfigError
from config.paths import Paths
from config.plugins import find
from config.resolver import resolve
from config.schema import PipelineConfig
from config.settings import Settings
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.evaluation.protocols.registry import make_folds, protocol_named
from kdgat_models.files import digest_json, write_json
from kdgat_models.graphs.fold import FOLD
from tasks.artifact import Artifact
from tasks.plans.checks import check_choices

# The published classifier, without its curriculum: that needs an autoencoder of its own and made it worse.
PUBLISHED = {
    "method": "published",
    "curriculum.sampling": "balanced",
    "curriculum.windows_per_epoch": 4096,
    "training.max_epochs": 4,
    "training.validation_windows": 2048,
}


# A student costs little, and learns longer for it.
STUDENT = {"training.max_epochs": 8}


class ProtocolPlan(NamedTuple):
    """Datasets and the configs of one seed's models, by what they are called in the report."""

    protocol: str
    datasets: tuple[str, ...]
    data_dir: Path | None
    overrides: Settings

    @property
    def about(self) -> dict[str, str]:
        """What is trained on: a dataset here is all that are pooled."""
        return {"protocol": self.protocol, "dataset": "+".join(self.datasets)}

    def config(self, model: str, scale: str, seed: int, auxiliary: str = "none", **more: Any) -> PipelineConfig:
        """Config of a model of this protocol."""
        return resolve(model, scale, auxiliary, **{**more, **self.overrides, **self.about, "seed": seed})

    def student(self, seed: int) -> PipelineConfig:
        """Config of the distilled classifier."""
        return self.config("gat", "tiny", seed, "kd_standard", **STUDENT)

    def published(self, seed: int) -> PipelineConfig:
        """Config of the published classifier."""
        return self.config("gat", "large", seed, **PUBLISHED)

    @property
    def report(self) -> PipelineConfig:
        """Config of the report, which reads the window size and the rule of decision."""
        return self.config("gat", "large", 0)

    def ingest(self, dataset: str) -> PipelineConfig:
        """Config of the ingest of a dataset."""
        return resolve("vgae", "large", **{**self.overrides, "dataset": dataset})


def plan_protocol(
    protocol: str, data_dir: Path | None, datasets: tuple[str, ...] | None, overrides: Settings, paths: Paths
) -> ProtocolPlan:
    """Find the datasets: those named, or all of the catalogue that lie below `data_dir`; without one, the demo.

    Raises:
        ConfigError: an unknown protocol or dataset, or nothing is there.
    """
    find("protocols", protocol)
    if datasets is not None and not datasets:
        raise ConfigError("no dataset is given; name some, or leave the list out for all that lie below the data folder")
    names = datasets or (tuple(name for name in catalog() if _lies_in(name, data_dir)) if data_dir else ("demo",))
    if not names:
        raise ConfigError(f"no dataset of the catalogue lies in {data_dir}; expected folders such as {data_dir}/hcrl_sa")
    for name in names:
        dataset_folder(name, data_dir, paths)
    names = tuple(name for name in catalog() if name in names)  # one pool, in whatever order they were asked for
    plan = ProtocolPlan(protocol, names, data_dir, overrides)
    check_choices([plan.config("gat", "large", 0)])  # what is misspelt or cannot be loaded is found before anything starts
    return plan


def fold_artifacts(
    protocol: str, pool: Artifact, published_pool: Artifact, paths: Paths
) -> list[tuple[Fold, Artifact, Artifact]]:
    """Each fold, with its graphs of both schemas."""
    from tasks.stages.reports import capture_facts

    folds = make_folds(protocol, capture_facts(pool.path))
    both = (pool, published_pool)
    return [(fold, *(fold_artifact(protocol, fold, graphs, paths) for graphs in both)) for fold in folds]  # type: ignore[misc]


def fold_artifact(protocol: str, fold: Fold, pool: Artifact, paths: Paths) -> Artifact:
    """A view of a pool: which captures, and whether with their copies, are learnt from."""
    from kdgat_models.graphs.dataset import TRAIN_STORE
    from kdgat_models.graphs.store import GraphStore

    store = pool.path / TRAIN_STORE
    known = protocol_named(protocol)
    train = [c.name for c in GraphStore(store).captures if c.original in fold.train and (c.recorded or known.copies)]
    about = {"protocol": protocol, "version": known.version, "store": str(store)}
    content = {**about, **fold._asdict(), "train": train}
    digest = digest_json({**content, "store": pool.digest})
    folder = paths.root / protocol / "folds" / digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FOLD, content)
    return Artifact(kind="graphs", path=folder, digest=digest, summary={"fold": fold.name})


def _lies_in(dataset: str, data_dir: Path) -> bool:
    return (data_dir / dataset).is_dir()

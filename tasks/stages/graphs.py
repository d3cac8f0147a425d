"""Parquet captures -> graph stores and the vocabulary."""

from pathlib import Path

from config.catalog import dataset_entry
from config.schema import GraphBuilding
from kdgat_models.errors import DatasetError
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.events import GraphsBuilt
from tasks.stages.events import emit
from tasks.stages.reports import read_ingest

GRAPHS_REPORT = "graphs_report.json"


def build(config: GraphBuilding, folder: Path, captures: Artifact) -> Artifact:
    """Build the training store out of all training splits, and one store per test split; duplicates count once."""
    from kdgat_models.graphs.build import BuildReport, build_store, named
    from kdgat_models.graphs.dataset import TEST_STORES, TRAIN_STORE, normal_training_vocabulary, save_vocabulary
    from kdgat_models.graphs.store import GraphStore

    splits = dataset_entry(config.dataset).splits
    by_store: dict[str, list[Path]] = {}
    for row in read_ingest(captures.path).unique:
        store = TRAIN_STORE if splits[row.split].role == "train" else f"{TEST_STORES}/{row.split}"
        by_store.setdefault(store, []).append(captures.path / row.split / f"{row.capture}.parquet")
    if TRAIN_STORE not in by_store:
        raise DatasetError(f"every training capture of {config.dataset} is also a test capture; nothing is left to train on")
    reports: dict[str, BuildReport] = {}
    for store, paths in by_store.items():
        reports[store] = build_store(
            [named(path) for path in paths],
            folder / store,
            config.preprocessing,
            config.augmentation,
            training=store == TRAIN_STORE,
        )
        emit(GraphsBuilt(store=store, windows=reports[store].windows, frames=reports[store].frames))
    vocabulary = normal_training_vocabulary(GraphStore(folder / TRAIN_STORE))
    write_json(folder / GRAPHS_REPORT, {store: report._asdict() for store, report in reports.items()})
    save_vocabulary(folder, vocabulary)
    summary = {
        "frames": sum(report.frames for report in reports.values()),
        "windows": sum(report.windows for report in reports.values()),
        "tail_frames": sum(report.tail_frames for report in reports.values()),
        "too_short": [name for report in reports.values() for name in report.too_short],
        "untimed": [name for report in reports.values() for name in report.untimed],
        "vocabulary": len(vocabulary.ids),
    }
    digest = digest_json([{store: report.digest for store, report in reports.items()}, list(vocabulary.ids)])
    return Artifact(kind="graphs", path=folder, digest=digest, summary=summary)

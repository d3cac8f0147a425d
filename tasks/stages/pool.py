"""Captures of several datasets -> one store of graphs, what is known of each capture, and the untrained baselines."""

from pathlib import Path
from typing import NamedTuple

from config.catalog import dataset_entry, stated_vehicle
from config.schema import GraphBuilding
from kdgat_models.errors import DatasetError
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.events import GraphsBuilt
from tasks.stages.events import emit
from tasks.stages.reports import AUDIT, CAPTURES, UNTRAINED_SCORES, PooledCapture, read_ingest


def build(config: GraphBuilding, folder: Path, captures: list[Artifact], datasets: list[str]) -> Artifact:
    """Build one store out of all captures of `datasets`, each called DATASET/SPLIT/CAPTURE; duplicates count once."""
    from kdgat_models.evaluation.protocols.survey import CaptureSource, survey
    from kdgat_models.graphs.build import NamedCapture, build_store
    from kdgat_models.graphs.dataset import TRAIN_STORE

    rows = [row for artifact, dataset in zip(captures, datasets, strict=True) for row in _rows(artifact, dataset)]
    if not rows:
        raise DatasetError("no capture to build graphs of")
    sources = [CaptureSource(row.name, row.path, _stated_vehicle(row)) for row in rows]
    window = config.preprocessing
    vehicles, audit = survey(sources, folder / UNTRAINED_SCORES, window.window_size, window.stride)
    write_json(folder / AUDIT, {"overlaps": [overlap._asdict() for overlap in audit.overlaps], "groups": audit.groups})
    pooled = [PooledCapture(**row._asdict(), vehicle=vehicles[row.name], group=audit.groups[row.name]) for row in rows]
    named = [NamedCapture(row.name, row.path, row.attack) for row in rows]
    report = build_store(named, folder / TRAIN_STORE, config.preprocessing, config.augmentation, training=True)
    emit(GraphsBuilt(store="pool", windows=report.windows, frames=report.frames))
    write_json(folder / CAPTURES, [capture.model_dump(mode="json") for capture in pooled])
    summary = {
        "frames": report.frames,
        "windows": report.windows,
        "captures": len(rows),
        "vehicles": sorted({capture.vehicle for capture in pooled}),
        "too_short": report.too_short,
        "untimed": report.untimed,
    }
    surveyed = [{"vehicle": capture.vehicle, "group": capture.group} for capture in pooled]
    return Artifact(kind="pool", path=folder, digest=digest_json([report.digest, surveyed]), summary=summary)


class Listed(NamedTuple):
    """A capture of a dataset before it is surveyed."""

    name: str  # DATASET/SPLIT/CAPTURE
    dataset: str
    split: str
    role: str  # of the split
    attack: str
    path: Path


def _rows(artifact: Artifact, dataset: str) -> list[Listed]:
    from kdgat_models.can.naming import attack_type

    splits = dataset_entry(dataset).splits
    return [
        Listed(
            name=f"{dataset}/{row.split}/{row.capture}",
            dataset=dataset,
            split=row.split,
            role=splits[row.split].role,
            attack=attack_type(row.capture),
            path=artifact.path / row.split / f"{row.capture}.parquet",
        )
        for row in read_ingest(artifact.path).unique
    ]


def _stated_vehicle(row: Listed) -> str | None:
    """The vehicle of a capture as the catalogue says, if it does."""
    return stated_vehicle(row.dataset, row.split, row.name.rsplit("/", 1)[-1])

"""Captures of several datasets -> one store of graphs, what is known of each capture, and the untrained baselines."""

from pathlib import Path
from typing import Any

from config.catalog import dataset_entry, stated_vehicle
from config.schema import GraphBuilding
from kdgat_models.errors import DatasetError
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.events import GraphsBuilt
from tasks.stages.events import emit
from tasks.stages.reports import AUDIT, CAPTURES, UNTRAINED_SCORES, read_ingest


def build(config: GraphBuilding, folder: Path, captures: list[Artifact], datasets: list[str]) -> Artifact:
    """Build one store out of all captures of `datasets`, each called DATASET/SPLIT/CAPTURE; duplicates count once."""
    from kdgat_models.evaluation.protocols.survey import CaptureSource, survey
    from kdgat_models.graphs.build import NamedCapture, build_store
    from kdgat_models.graphs.dataset import TRAIN_STORE

    rows = [row for artifact, dataset in zip(captures, datasets, strict=True) for row in _rows(artifact, dataset)]
    if not rows:
        raise DatasetError("no capture to build graphs of")
    sources = [CaptureSource(row["name"], Path(row["path"]), _stated_vehicle(row)) for row in rows]
    window = config.preprocessing
    vehicles, audit = survey(sources, folder / UNTRAINED_SCORES, window.window_size, window.stride)
    write_json(folder / AUDIT, {"overlaps": [overlap._asdict() for overlap in audit.overlaps], "groups": audit.groups})
    surveyed = [{"vehicle": vehicles[row["name"]], "group": audit.groups[row["name"]]} for row in rows]
    named = [NamedCapture(row["name"], Path(row["path"]), row["attack"]) for row in rows]
    report = build_store(named, folder / TRAIN_STORE, config.preprocessing, config.augmentation, training=True)
    emit(GraphsBuilt(store="pool", windows=report.windows, frames=report.frames))
    write_json(folder / CAPTURES, [{**row, **facts} for row, facts in zip(rows, surveyed, strict=True)])
    summary = {
        "frames": report.frames,
        "windows": report.windows,
        "captures": len(rows),
        "vehicles": sorted({facts["vehicle"] for facts in surveyed}),
        "too_short": report.too_short,
        "untimed": report.untimed,
    }
    return Artifact(kind="pool", path=folder, digest=digest_json([report.digest, surveyed]), summary=summary)


def _rows(artifact: Artifact, dataset: str) -> list[dict[str, Any]]:
    from kdgat_models.can.naming import attack_type

    splits = dataset_entry(dataset).splits
    return [
        {
            "name": f"{dataset}/{row.split}/{row.capture}",
            "dataset": dataset,
            "split": row.split,
            "role": splits[row.split].role,
            "attack": attack_type(row.capture),
            "path": str(artifact.path / row.split / f"{row.capture}.parquet"),
        }
        for row in read_ingest(artifact.path).unique
    ]


def _stated_vehicle(row: dict[str, Any]) -> str | None:
    """The vehicle of a capture as the catalogue says, if it does."""
    return stated_vehicle(row["dataset"], row["split"], row["name"].rsplit("/", 1)[-1])

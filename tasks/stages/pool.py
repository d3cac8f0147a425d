"""Captures of several datasets -> one store of graphs, what is known of each capture, and the untrained baselines."""

from pathlib import Path
from typing import Any

from config.catalog import dataset_entry, stated_vehicle
from config.schema import PipelineConfig
from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.can.naming import attack_type
from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.baselines import untrained_scores
from kdgat_models.evaluation.protocols.audit import audit, fingerprint
from kdgat_models.evaluation.protocols.protocol import CaptureFacts
from kdgat_models.evaluation.protocols.vehicles import assign_vehicles, regular_ids
from kdgat_models.files import digest_json, write_json
from kdgat_models.graphs.build import NamedCapture, build_store
from kdgat_models.graphs.dataset import TRAIN_STORE
from kdgat_models.graphs.topology import window_starts
from kdgat_models.npz import write_npz
from tasks.artifact import Artifact
from tasks.stages.events import emit
from tasks.stages.reports import AUDIT, CAPTURES, read_ingest, read_pool

UNTRAINED_SCORES = "untrained"


def pool(config: PipelineConfig, folder: Path, captures: list[Artifact], datasets: list[str]) -> Artifact:
    """Build one store out of all captures of `datasets`, each called DATASET/SPLIT/CAPTURE; duplicates count once."""
    rows = [row for artifact, dataset in zip(captures, datasets, strict=True) for row in _rows(artifact, dataset)]
    if not rows:
        raise DatasetError("no capture to build graphs of")
    survey = _survey(rows, config, folder / UNTRAINED_SCORES)
    named = [NamedCapture(row["name"], Path(row["path"]), row["attack"]) for row in rows]
    report = build_store(named, folder / TRAIN_STORE, config.preprocessing, config.augmentation, training=True)
    emit("graphs", store="pool", windows=report.windows, frames=report.frames)
    write_json(folder / CAPTURES, [{**row, **facts} for row, facts in zip(rows, survey, strict=True)])
    summary = {
        "frames": report.frames,
        "windows": report.windows,
        "captures": len(rows),
        "vehicles": sorted({facts["vehicle"] for facts in survey}),
        "too_short": report.too_short,
        "untimed": report.untimed,
    }
    return Artifact(kind="pool", path=folder, digest=digest_json([report.digest, survey]), summary=summary)


def capture_facts(pool: Artifact) -> list[CaptureFacts]:
    """What a protocol has to know of the captures of a pool."""
    rows = read_pool(pool.path)
    return [CaptureFacts(**{field: getattr(row, field) for field in CaptureFacts._fields}) for row in rows]


def _rows(artifact: Artifact, dataset: str) -> list[dict[str, Any]]:
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


def _survey(rows: list[dict[str, Any]], config: PipelineConfig, scores: Path) -> list[dict[str, Any]]:
    """Vehicle and group of each capture, and the scores of the untrained baselines; one capture in memory at a time."""
    ids, prints, stated = {}, {}, {}
    scores.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        frames = read_frames(Path(row["path"]))
        ids[row["name"]], prints[row["name"]] = regular_ids(frames), fingerprint(frames)
        vehicle = stated_vehicle(row["dataset"], row["split"], row["name"].rsplit("/", 1)[-1])
        if vehicle:
            stated[row["name"]] = vehicle
        write_npz(scores / f"{number}.npz", **_untrained(row["name"], frames, config))
    vehicles, found = assign_vehicles(ids, stated), audit(prints)
    write_json(scores.parent / AUDIT, {"overlaps": [overlap._asdict() for overlap in found.overlaps], "groups": found.groups})
    return [{"vehicle": vehicles[row["name"]], "group": found.groups[row["name"]]} for row in rows]


def _untrained(capture: str, frames: Frames, config: PipelineConfig) -> dict[str, Any]:
    preprocessing = config.preprocessing
    starts = window_starts(frames.size, preprocessing.window_size, preprocessing.stride)
    return dict(untrained_scores(capture, frames, starts, preprocessing.window_size))

"""What is found out of every capture of a pool: its vehicle, its group, the scores of the untrained baselines."""

from pathlib import Path
from typing import Any

from config.catalog import stated_vehicle
from config.sections import PreprocessingConfig
from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.evaluation.baselines import untrained_scores
from kdgat_models.evaluation.protocols.audit import audit, fingerprint
from kdgat_models.evaluation.protocols.protocol import CaptureFacts
from kdgat_models.evaluation.protocols.vehicles import assign_vehicles, regular_ids
from kdgat_models.files import write_json
from kdgat_models.graphs.topology import window_starts
from kdgat_models.npz import write_npz
from tasks.artifact import Artifact
from tasks.stages.reports import AUDIT, read_pool


def capture_facts(pool: Artifact) -> list[CaptureFacts]:
    """What a protocol has to know of the captures of a pool."""
    rows = read_pool(pool.path)
    return [CaptureFacts(**{field: getattr(row, field) for field in CaptureFacts._fields}) for row in rows]


def survey(rows: list[dict[str, Any]], preprocessing: PreprocessingConfig, scores: Path) -> list[dict[str, Any]]:
    """Vehicle and group of each capture, and the scores of the untrained baselines; one capture in memory at a time."""
    ids, prints, stated = {}, {}, {}
    scores.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        frames = read_frames(Path(row["path"]))
        ids[row["name"]], prints[row["name"]] = regular_ids(frames), fingerprint(frames)
        vehicle = stated_vehicle(row["dataset"], row["split"], row["name"].rsplit("/", 1)[-1])
        if vehicle:
            stated[row["name"]] = vehicle
        write_npz(scores / f"{number}.npz", **_untrained(row["name"], frames, preprocessing))
    vehicles, found = assign_vehicles(ids, stated), audit(prints)
    write_json(scores.parent / AUDIT, {"overlaps": [overlap._asdict() for overlap in found.overlaps], "groups": found.groups})
    return [{"vehicle": vehicles[row["name"]], "group": found.groups[row["name"]]} for row in rows]


def _untrained(capture: str, frames: Frames, preprocessing: PreprocessingConfig) -> dict[str, Any]:
    starts = window_starts(frames.size, preprocessing.window_size, preprocessing.stride)
    return dict(untrained_scores(capture, frames, starts, preprocessing.window_size))

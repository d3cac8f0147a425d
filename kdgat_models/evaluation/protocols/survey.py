"""What a protocol has to know of captures before it makes folds of them; each is read once, one at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.evaluation.baselines import untrained_scores
from kdgat_models.evaluation.protocols.audit import Audit, audit, fingerprint
from kdgat_models.evaluation.protocols.vehicles import assign_vehicles, regular_ids
from kdgat_models.graphs.topology import window_starts
from kdgat_models.npz import Arrays, read_npz, write_npz


class CaptureSource(NamedTuple):
    """A capture that is to be surveyed."""

    name: str  # DATASET/SPLIT/CAPTURE
    path: Path  # of its Parquet file
    vehicle: str | None  # as the catalogue says


class Survey(NamedTuple):
    """What was found: the vehicle of each capture by name, and which captures share content."""

    vehicles: dict[str, str]
    audit: Audit


def survey(captures: Sequence[CaptureSource], scores: Path, window_size: int, stride: int) -> Survey:
    """Tell vehicles and shared content apart, and keep the scores of the untrained detectors in the folder `scores`.

    Args:
        captures: In the order by whose numbers `read_untrained` finds their scores.
        scores: Folder, which is made if it is not there.
        window_size: Frames in a window that is scored.
        stride: Frames from the begin of one window to the begin of the next.

    Raises:
        CaptureError: a file is no capture.
    """
    ids, prints = {}, {}
    scores.mkdir(parents=True, exist_ok=True)
    for number, capture in enumerate(captures):
        frames = read_frames(capture.path)
        ids[capture.name], prints[capture.name] = regular_ids(frames), fingerprint(frames)
        _keep_untrained(_file(scores, number), capture.name, frames, window_size, stride)
    stated = {capture.name: capture.vehicle for capture in captures if capture.vehicle}
    return Survey(assign_vehicles(ids, stated), audit(prints))


def read_untrained(scores: Path, number: int) -> Arrays:
    """Scores [windows] of each untrained detector, by name, on the capture that had this number in the survey.

    Raises:
        CheckpointError: the file is missing, torn or altered.
    """
    return read_npz(_file(scores, number))


def _keep_untrained(path: Path, name: str, frames: Frames, window_size: int, stride: int) -> None:
    starts = window_starts(frames.size, window_size, stride)
    write_npz(path, **untrained_scores(name, frames, starts, window_size))


def _file(scores: Path, number: int) -> Path:
    return scores / f"{number}.npz"

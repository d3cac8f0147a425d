"""The scores of a split as a Parquet file: one row per window, for people who look at single windows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdgat_models.decision import DetectorScores
from kdgat_models.evaluation.calibration import probability
from kdgat_models.files import atomic_path
from kdgat_models.graphs.store import GraphStore


def write_scores(
    path: Path, store: GraphStore, detectors: Sequence[DetectorScores], suspects: NDArray[np.uint32] | None = None
) -> None:
    """Write a table of the windows of `store`, atomically.

    Its columns are `capture`, `start_time` (s), `label`, the score by the name of each detector, `{detector}_probability` of
    those with a temperature, and `suspect`: the arbitration ID that is held for the attacker's, which means something where a
    window is flagged.

    Args:
        path: Of the file.
        store: The split.
        detectors: Their scores are those of all windows of the split.
        suspects: [windows], if a model tells them.
    """
    captures = np.array([capture.name for capture in store.captures])
    columns = {"capture": captures[store.capture], "start_time": store.start_time, "label": store.label}
    columns |= {detector.model: detector.scores for detector in detectors}
    for detector in detectors:
        if detector.temperature is not None:
            columns[f"{detector.model}_probability"] = probability(detector.scores, detector.temperature)
    if suspects is not None:
        columns["suspect"] = suspects
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)

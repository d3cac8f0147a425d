"""What earlier attempts used of memory, and what the next one should ask for.

request = peak / factor. The factor is the share of a request that is expected to be used: it starts at 0.85, or 0.75 under
distillation, where teacher and student are in memory together; it falls after each attempt that ran out of memory, and rises
slowly with each that did not. On a GPU the same factor is the share of the batch that is in memory at a time under
distillation.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kdgat_models.runs.store import RunStore

START, START_DISTILLED = 0.85, 0.75
LOWEST, HIGHEST = 0.4, 0.95
AFTER_OUT_OF_MEMORY, AFTER_SUCCESS = 0.8, 0.02  # times, plus
REMEMBERED = 5  # successes whose highest peak counts
MARGIN_MB = 256.0  # at least so much above the peak: small stages vary by more than their share


class StageKey(NamedTuple):
    """Stages of one key use about the same memory."""

    model_type: str
    scale: str
    stage: str
    dataset: str
    distilled: bool

    @property
    def file_pattern(self) -> str:
        """What the files of its rows begin with; other keys may begin alike, so that rows are compared, too."""
        return f"{self.dataset}-{self.model_type}-{self.scale}-{self.stage}-{'kd' if self.distilled else 'no'}"


class Lesson(NamedTuple):
    """What was learnt about one key."""

    peak_mb: float | None  # None: no attempt was ever completed
    factor: float

    @property
    def request_mb(self) -> float | None:
        """What to ask for first; None: nothing is known."""
        return None if self.peak_mb is None else max(self.peak_mb / self.factor, self.peak_mb + MARGIN_MB)


def lesson(store: RunStore, key: StageKey) -> Lesson:
    """What earlier attempts at stages of this key teach."""
    rows = store.rows("memory", f"{key.file_pattern}-*")
    return _lesson([row for row in rows if all(row[name] == value for name, value in key._asdict().items())], key.distilled)


def learn(store: RunStore, key: StageKey, run: Mapping[str, Any], peak_mb: float, out_of_memory: bool) -> Lesson:
    """Note what an attempt used; `run` is its row in the table of runs."""
    factor = lesson(store, key).factor
    factor = max(factor * AFTER_OUT_OF_MEMORY, LOWEST) if out_of_memory else min(factor + AFTER_SUCCESS, HIGHEST)
    row = {
        **key._asdict(),
        "run_id": run["run_id"],
        "pipeline_run": run["pipeline_run"],
        "requested_mb": run["memory_requested_mb"],
        "peak_mb": peak_mb,
        "outcome": "out_of_memory" if out_of_memory else "completed",
        "factor": round(factor, 4),
        "written_at": datetime.now(UTC),
    }
    store.write("memory", f"{key.file_pattern}-{run['run_id']}-{run['attempt']}", [row])
    return lesson(store, key)


def lessons(store: RunStore) -> list[dict[str, Any]]:
    """One row per key: attempts, highest peak, factor and the next request."""
    by_key: dict[StageKey, list[dict[str, Any]]] = {}
    for row in store.rows("memory"):
        by_key.setdefault(StageKey(*(row[name] for name in StageKey._fields)), []).append(row)
    found = []
    for key, rows in sorted(by_key.items()):
        learnt = _lesson(rows, key.distilled)
        failed = sum(row["outcome"] == "out_of_memory" for row in rows)
        figures = {"attempts": len(rows), "out_of_memory": failed, "peak_mb": learnt.peak_mb}
        found.append({**key._asdict(), **figures, "factor": learnt.factor, "next_request_mb": learnt.request_mb})
    return found


def _lesson(rows: list[dict[str, Any]], distilled: bool) -> Lesson:
    start = START_DISTILLED if distilled else START
    peaks = [row["peak_mb"] for row in rows if row["outcome"] == "completed"][-REMEMBERED:]
    return Lesson(max(peaks, default=None), rows[-1]["factor"] if rows else start)

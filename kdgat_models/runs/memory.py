"""What earlier attempts used of memory, and what the next one should ask for.

request = peak / factor. The factor is the share of a request that is expected to be used: it starts at 0.85, or 0.75 under
distillation, where teacher and student are in memory together; it falls after each attempt that ran out of memory, and rises
slowly with each that did not. On a GPU the same factor is the share of the batch that is in memory at a time under
distillation.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from kdgat_models.files import digest_json
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import MemoryRow, RunRow

START, START_DISTILLED = 0.85, 0.75
LOWEST, HIGHEST = 0.4, 0.95
AFTER_OUT_OF_MEMORY, AFTER_SUCCESS = 0.8, 0.02  # times, plus
REMEMBERED = 5  # successes whose highest peak counts
LONGEST_NAME = 60  # of a dataset in the name of a file: that of a pool names all of its datasets
MARGIN_MB = 256.0  # at least so much above the peak: small stages vary by more than their share


class StageKey(NamedTuple):
    """Stages of one key use about the same memory."""

    model_type: str
    scale: str
    stage: str
    dataset: str
    distilled: bool

    @classmethod
    def of(cls, row: MemoryRow) -> "StageKey":
        """The key that a row was remembered under."""
        return cls(row.model_type, row.scale, row.stage, row.dataset, row.distilled)

    @property
    def file_pattern(self) -> str:
        """What the files of its rows begin with; other keys may begin alike, so that rows are compared, too."""
        place = self.dataset if len(self.dataset) <= LONGEST_NAME else digest_json(self.dataset)[:LONGEST_NAME]
        return f"{place}-{self.model_type}-{self.scale}-{self.stage}-{'kd' if self.distilled else 'no'}"


class Lesson(NamedTuple):
    """What was learnt about one key."""

    peak_mb: float | None  # None: no attempt was ever completed
    factor: float

    @property
    def request_mb(self) -> float | None:
        """What to ask for first; None: nothing is known."""
        return None if self.peak_mb is None else max(self.peak_mb / self.factor, self.peak_mb + MARGIN_MB)


class LearntOfKey(NamedTuple):
    """What was learnt about one key, and of how many attempts."""

    key: StageKey
    attempts: int
    out_of_memory: int  # of the attempts
    lesson: Lesson

    def as_json(self) -> dict[str, str | bool | int | float | None]:
        """As `kdgat memory` prints it."""
        return {
            **self.key._asdict(),
            "attempts": self.attempts,
            "out_of_memory": self.out_of_memory,
            "peak_mb": self.lesson.peak_mb,
            "factor": self.lesson.factor,
            "next_request_mb": self.lesson.request_mb,
        }


def lesson(store: RunStore, key: StageKey) -> Lesson:
    """What earlier attempts at stages of this key teach."""
    rows = store.rows(MemoryRow, f"{key.file_pattern}-*")
    return _lesson([row for row in rows if StageKey.of(row) == key], key.distilled)


def learn(store: RunStore, key: StageKey, run: RunRow, peak_mb: float, out_of_memory: bool) -> Lesson:
    """Note what an attempt used; `run` is its row in the table of runs."""
    factor = lesson(store, key).factor
    factor = max(factor * AFTER_OUT_OF_MEMORY, LOWEST) if out_of_memory else min(factor + AFTER_SUCCESS, HIGHEST)
    row = MemoryRow(
        **key._asdict(),
        run_id=run.run_id,
        pipeline_run=run.pipeline_run,
        requested_mb=run.memory_requested_mb,
        peak_mb=peak_mb,
        outcome="out_of_memory" if out_of_memory else "completed",
        factor=round(factor, 4),
        written_at=datetime.now(UTC),
    )
    store.write(MemoryRow, f"{key.file_pattern}-{run.run_id}-{run.attempt}", [row])
    return lesson(store, key)


def lessons(store: RunStore) -> list[LearntOfKey]:
    """What was learnt about each key, in their order."""
    by_key: dict[StageKey, list[MemoryRow]] = {}
    for row in store.rows(MemoryRow):
        by_key.setdefault(StageKey.of(row), []).append(row)
    return [
        LearntOfKey(key, len(rows), sum(row.outcome == "out_of_memory" for row in rows), _lesson(rows, key.distilled))
        for key, rows in sorted(by_key.items())
    ]


def _lesson(rows: Sequence[MemoryRow], distilled: bool) -> Lesson:
    start = START_DISTILLED if distilled else START
    peaks = [row.peak_mb for row in rows if row.outcome == "completed"][-REMEMBERED:]
    return Lesson(max(peaks, default=None), rows[-1].factor if rows else start)

"""Snapshots of importance: what each feature counted for after one training; beside the model, and in the run store."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from kdgat_models.explanation.importance import (
    Feature,
    FeatureImportance,
    FeatureKind,
    ImportanceMethod,
)
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import ImportanceRow

IMPORTANCE = "importance.json"  # in the run folder of a classifier


class ImportanceReport(BaseModel):
    """`importance.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: ImportanceMethod
    windows: Annotated[int, Field(ge=1)]
    fold: str | None  # of a protocol
    trained_at: datetime
    importances: Annotated[tuple[FeatureImportance, ...], Field(min_length=2)]


class Origin(NamedTuple):
    """Which training a snapshot is of."""

    run_id: str
    dataset: str  # of a protocol all that it pools, with + between them
    protocol: str | None
    variant: str
    model: str
    scale: str
    seed: int
    settings: str | None = None  # digest of those that graphs and training depend on, but for the seed; None: not noted


class Snapshot(NamedTuple):
    """What each feature counted for after one training."""

    origin: Origin
    fold: str | None  # of a protocol
    method: ImportanceMethod
    windows: int  # that were explained
    trained_at: datetime
    importances: tuple[FeatureImportance, ...]  # in the order of the schema

    @property
    def snapshot_id(self) -> str:
        """The same for the same training and method."""
        return f"{self.origin.run_id}-{self.method}"

    @property
    def night(self) -> str:
        """The day of the training, in UTC: YYYY-MM-DD."""
        return self.trained_at.astimezone(UTC).date().isoformat()

    @property
    def features(self) -> tuple[Feature, ...]:
        """What was looked at; only snapshots of the same features can be compared."""
        return tuple(row.feature for row in self.importances)


def snapshot_of(origin: Origin, report: ImportanceReport) -> Snapshot:
    """The snapshot of a training, from what it left in its run folder."""
    return Snapshot(origin, report.fold, report.method, report.windows, report.trained_at, report.importances)


def write_snapshot(store: RunStore, snapshot: Snapshot) -> None:
    """Keep a snapshot; the same one again changes nothing."""
    rows = [
        ImportanceRow(
            snapshot_id=snapshot.snapshot_id,
            **snapshot.origin._asdict(),
            fold=snapshot.fold,
            method=snapshot.method,
            windows=snapshot.windows,
            trained_at=snapshot.trained_at,
            **row.feature._asdict(),
            position=position,
            importance=row.importance,
            rank=row.rank,
            written_at=snapshot.trained_at,
        )
        for position, row in enumerate(snapshot.importances)
    ]
    store.write(ImportanceRow, snapshot.snapshot_id, rows)


def read_snapshots(store: RunStore) -> list[Snapshot]:
    """All snapshots, oldest first. What cannot be one is left out and noted in `store.broken`."""
    rows: dict[str, dict[tuple[str, str], ImportanceRow]] = {}
    for row in store.rows(ImportanceRow):
        rows.setdefault(row.snapshot_id, {})[row.kind, row.name] = row
    found = []
    for snapshot_id, of_features in rows.items():
        try:
            found.append(_snapshot(sorted(of_features.values(), key=lambda row: row.position)))
        except ValueError as error:
            store.broken[store.folder / ImportanceRow.table / f"{snapshot_id}.parquet"] = str(error)
    return sorted(found, key=lambda snapshot: (snapshot.trained_at, snapshot.snapshot_id))


def _snapshot(rows: Sequence[ImportanceRow]) -> Snapshot:
    first = rows[0]
    for row in rows:
        if not math.isfinite(row.importance):
            raise ValueError(f"the importance of {row.name} is {row.importance}")
    if first.method not in get_args(ImportanceMethod):
        raise ValueError(f"importance by {first.method!r} is not known")
    origin = Origin(**{name: getattr(first, name) for name in Origin._fields})
    method, importances = cast(ImportanceMethod, first.method), tuple(_importance(row) for row in rows)
    return Snapshot(origin, first.fold, method, first.windows, first.trained_at, importances)


def _importance(row: ImportanceRow) -> FeatureImportance:
    return FeatureImportance(Feature(cast(FeatureKind, row.kind), row.name), row.importance, row.rank)

"""Snapshots of importance: what each feature counted for after one training; beside the model, and in the run store."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from kdgat_models.explanation.importance import (
    Feature,
    FeatureImportance,
    ImportanceMethod,
)
from kdgat_models.runs.store import RunStore

IMPORTANCE = "importance.json"  # in the run folder of a classifier
TABLE = "importances"


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
    common = {
        "snapshot_id": snapshot.snapshot_id,
        **snapshot.origin._asdict(),
        "fold": snapshot.fold,
        "method": snapshot.method,
        "windows": snapshot.windows,
        "trained_at": snapshot.trained_at,
        "written_at": snapshot.trained_at,
    }
    rows = [
        {**common, **row.feature._asdict(), "importance": row.importance, "rank": row.rank, "position": position}
        for position, row in enumerate(snapshot.importances)
    ]
    store.write(TABLE, snapshot.snapshot_id, rows)


def read_snapshots(store: RunStore) -> list[Snapshot]:
    """All snapshots, oldest first. What cannot be one is left out and noted in `store.broken`."""
    rows: dict[str, dict[Feature, dict[str, Any]]] = {}
    for row in store.rows(TABLE):
        rows.setdefault(row["snapshot_id"], {})[Feature(row["kind"], row["name"])] = row
    found = []
    for snapshot_id, of_features in rows.items():
        try:
            found.append(_snapshot(sorted(of_features.values(), key=lambda row: row["position"])))
        except ValueError as error:
            store.broken[store.folder / TABLE / f"{snapshot_id}.parquet"] = str(error)
    return sorted(found, key=lambda snapshot: (snapshot.trained_at, snapshot.snapshot_id))


def _snapshot(rows: Sequence[Mapping[str, Any]]) -> Snapshot:
    first = rows[0]
    for row in rows:
        if not math.isfinite(row["importance"]):
            raise ValueError(f"the importance of {row['name']} is {row['importance']}")
    if first["method"] not in get_args(ImportanceMethod):
        raise ValueError(f"importance by {first['method']!r} is not known")
    origin = Origin(**{name: first[name] for name in Origin._fields})
    importances = tuple(_importance(row) for row in rows)
    return Snapshot(origin, first["fold"], first["method"], first["windows"], first["trained_at"], importances)


def _importance(row: Mapping[str, Any]) -> FeatureImportance:
    return FeatureImportance(Feature(row["kind"], row["name"]), row["importance"], row["rank"])

"""Tables of the run store: a record for the rows of each, from which its columns follow.

The types of columns are fixed, so that no column drifts to another type between two files. A field that may be None is a
column that may be null: files of versions that had no such column lack it, too.
"""

import types
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

Small = Annotated[int, pa.int32()]  # a whole number that takes 32 bits on disk
ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: pa.timestamp("us", "UTC")}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table; its fields are the columns, in their order."""

    table: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class RunRow(Row):
    """An attempt at a stage, as it starts and as it ends; the later row holds."""

    table = "runs"

    run_id: str
    pipeline_run: str | None = None
    dataset: str | None = None  # of a protocol all that it pools, with + between them
    protocol: str | None = None  # None: the splits of the dataset
    variant: str | None = None
    model_type: str | None = None  # None: of a stage that all variants share
    scale: str | None = None
    stage: str | None = None
    auxiliary: str | None = None
    seed: int | None = None
    status: str | None = None  # running, completed, failed
    # completed, error, out_of_memory, walltime, preempted, cancelled, node_failure, lost; stopped, killed: its flow
    reason: str | None = None
    epochs: Small | None = None  # that this attempt trained
    job: str | None = None  # of SLURM
    host: str | None = None
    queue_seconds: float | None = None  # from submission to the start on a worker
    setup_seconds: float | None = None  # from there to the first training step
    started_at: datetime | None = None
    seconds: float | None = None
    attempt: Small | None = None
    memory_requested_mb: float | None = None
    peak_memory_mb: float | None = None
    peak_gpu_memory_mb: float | None = None
    path: str | None = None
    digest: str | None = None
    error: str | None = None
    config: str | None = None  # JSON
    written_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryRow(Row):
    """What an attempt used, and the safety factor that follows from it (kdgat_models.runs.memory)."""

    table = "memory"

    run_id: str
    pipeline_run: str | None = None
    model_type: str
    scale: str
    stage: str
    dataset: str
    distilled: bool
    requested_mb: float | None = None
    peak_mb: float  # of an attempt that ran out: at least so much
    outcome: str  # completed or out_of_memory
    factor: float  # after this attempt
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class EpochRow(Row):
    """A figure of an epoch."""

    table = "epochs"

    run_id: str
    pipeline_run: str | None = None
    epoch: Small  # from 1
    part: str  # train or validation
    name: str
    value: float | None = None
    seconds: float | None = None  # of the whole epoch


@dataclass(frozen=True, kw_only=True)
class MetricRow(Row):
    """A metric of a model on the windows of a split."""

    table = "metrics"

    run_id: str
    pipeline_run: str | None = None
    dataset: str | None = None
    variant: str | None = None
    occasion: str | None = None  # training, or the night; None: of before there were nights, after training
    model: str | None = None  # vgae, gat or fusion
    split: str | None = None
    attack: str | None = None  # all, or one attack type
    threshold: float | None = None
    name: str
    value: float | None = None  # None: undefined on this data


@dataclass(frozen=True, kw_only=True)
class ChampionRow(Row):
    """A registered detector, or its removal; the last row of a dataset and variant holds."""

    table = "champions"

    dataset: str
    variant: str
    models: str | None = None  # JSON, as the next three
    graphs: str | None = None
    config: str | None = None
    rows: str | None = None
    raw: str | None = None
    registered_at: datetime | None = None
    removed: bool | None = None
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class NightRow(Row):
    """A metric of a champion on a split in a night; the model `input` has figures of drift."""

    table = "nights"

    night: str
    champion: str
    dataset: str
    split: str
    model: str
    metric: str
    value: float | None
    at_registration: float | None
    last_night: float | None
    loss: float
    regression: bool
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class ImportanceRow(Row):
    """What a feature counted for after a classifier was trained: one file per snapshot (kdgat_models.explanation.snapshots)."""

    table = "importances"

    snapshot_id: str
    run_id: str
    dataset: str
    protocol: str | None
    variant: str
    model: str
    scale: str
    seed: int
    settings: str | None = None  # digest of those that graphs and training depend on, but for the seed
    fold: str | None  # of a protocol
    method: str  # integrated_gradients or permutation
    windows: Small  # that were explained
    trained_at: datetime
    kind: str  # node or edge
    name: str  # of the feature
    position: Small  # in the schema, from 0: node features, then edge features
    importance: float
    rank: float  # 1: counts most; equal ones share the mean of their ranks
    written_at: datetime


def schema_of(record: type[Row]) -> pa.Schema:
    """The columns of a table, as its record says them."""
    return pa.schema([(name, _arrow_type(hint)) for name, hint in _hints(record).items()])


def never_null(record: type[Row]) -> tuple[str, ...]:
    """The columns without which a row says nothing: fields that may not be None."""
    return tuple(name for name, hint in _hints(record).items() if type(None) not in get_args(hint))


def _hints(record: type[Row]) -> dict[str, Any]:
    hints = get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name] for field in fields(record)}


def _arrow_type(hint: Any) -> pa.DataType:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    return hint.__metadata__[0] if get_origin(hint) is Annotated else ARROW[hint]


RECORDS: tuple[type[Row], ...] = (RunRow, MemoryRow, EpochRow, MetricRow, ChampionRow, NightRow, ImportanceRow)
TABLES: dict[str, pa.Schema] = {record.table: schema_of(record) for record in RECORDS}

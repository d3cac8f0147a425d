"""The run store: runs write Parquet files of their own, DuckDB reads them all. Writers need no lock; readers write nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kdgat_models.files import atomic_path
from kdgat_models.runs.tables import RECORDS, TABLES, Row, RunRow, never_null

if TYPE_CHECKING:
    import duckdb

Parameters = Sequence[Any] | Mapping[str, Any]  # of a query, in the order of their question marks or by $name

EMPTY = "_schema.parquet"  # that older versions wrote for tables without rows

UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
MOST_ROWS = 10_000_000  # of one file: one run writes no thousandth of it
UNDATED = datetime.min.replace(tzinfo=UTC)

R = TypeVar("R", bound=Row)

# A run is known by its last row; a pipeline that is killed leaves its start row, which says so.
LAST = (
    "select * exclude (rank) from (select *, row_number() over (partition by {key} order by written_at desc) rank "
    "from {source}) where rank = 1"
)
VIEWS = {
    "runs": LAST.replace("{key}", "run_id"),
    "memory": "select * from {source}",
    "champions": "select * from {source}",
    "nights": "select * from {source}",
    "epochs": "select * from {source}",
    "metrics": "select * from {source}",
    "importances": "select * from {source}",
}


class RunStore:
    """Parquet files below `folder/{table}/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: dict[Path, str] = {}  # files that were found broken and left out, and why

    def write(self, record: type[R], name: str, rows: Sequence[R]) -> Path:
        """Write `rows` as the file `{name}.parquet` of their table, atomically; a file of that name is replaced."""
        path = self.folder / record.table / f"{name}.parquet"
        with atomic_path(path) as temporary:
            columns = pa.Table.from_pylist([asdict(row) for row in rows], TABLES[record.table])
            pq.write_table(columns, temporary, write_page_checksum=True)
        return path

    def write_run(self, phase: str, row: RunRow) -> Path:
        """Write one row of `runs`; `phase` is `start` or `end`."""
        name = f"{row.run_id}-{(row.pipeline_run or '')[:8]}-{row.attempt}-{phase}"
        return self.write(RunRow, name, [replace(row, written_at=datetime.now(UTC))])

    def files(self, table: str, pattern: str = "*") -> list[Path]:
        """Files of `table` whose names, without suffix, match `pattern`; none if nothing was ever written, no broken ones."""
        folder = self.folder / table
        if not folder.exists():
            return []
        if not folder.is_dir():
            self.broken[folder] = "it is a file where a folder should be"
            return []
        named = [path for path in folder.iterdir() if path.suffix == ".parquet" and not path.name.startswith((".", EMPTY))]
        return sorted(path for path in named if fnmatchcase(path.stem, pattern) and path not in self.broken)

    def rows(self, record: type[R], pattern: str = "*") -> list[R]:
        """Rows of the files of a table whose names match, oldest first; needs no database. Broken files are left out."""
        found = [row for file in self.files(record.table, pattern) for row in self._rows_of(record, file)]
        return sorted(found, key=lambda row: getattr(row, "written_at", None) or UNDATED)

    def connect(self) -> "duckdb.DuckDBPyConnection":
        """An in-process DuckDB with one read-only view per table; tables without files are empty.

        Files that are no tables of ours are left out and noted in `broken`.
        """
        import duckdb  # here, because writers need no database, and loading it beside Prefect's threads leaks at exit

        connection = duckdb.connect()
        for table, schema in TABLES.items():
            connection.register(f"empty_{table}", schema.empty_table())
            source = f"empty_{table}"
            whole = [file for file in self.files(table) if self._has_our_columns(table, file)]
            files = ", ".join("'" + escape(str(file)).replace("'", "''") + "'" for file in whole)
            if files:  # the empty table brings the columns that files of older versions lack
                read = f"select * from read_parquet([{files}], union_by_name = true)"
                source = f"({read} union all by name select * from empty_{table})"
            connection.execute(f"create view {table} as {VIEWS[table].format(source=source)}")
            if table == "runs":  # one row per attempt at a run
                connection.execute(f"create view attempts as {LAST.format(key='run_id, attempt', source=source)}")
        return connection

    def query(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Rows of a query over the views. Broken files are left out and noted in `broken`."""
        import duckdb

        try:
            return self._query(sql, parameters)
        except (duckdb.Error, ValueError, OverflowError):  # a file may be torn behind a head that is whole
            before = len(self.broken)
            for record in RECORDS:
                for file in self.files(record.table):
                    self._rows_of(record, file)
            if len(self.broken) == before:
                raise
            return self._query(sql, parameters)

    def _query(self, sql: str, parameters: Parameters) -> list[dict[str, Any]]:
        with self.connect() as connection:
            cursor = connection.execute(sql, parameters)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _has_our_columns(self, table: str, file: Path) -> bool:
        try:
            with pq.ParquetFile(file) as parquet:
                _check_columns(table, parquet.schema_arrow)
        except UNREADABLE as error:
            self.broken[file] = str(error)
        return file not in self.broken

    def _rows_of(self, record: type[R], file: Path) -> list[R]:
        """All rows of a file; none if it is broken."""
        try:
            with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                _check_columns(record.table, parquet.schema_arrow)
                if parquet.metadata.num_rows > MOST_ROWS:
                    raise ValueError(f"it claims {parquet.metadata.num_rows} rows")
                rows = parquet.read().to_pylist()
            if any(row.get(name) is None for row in rows for name in never_null(record)):
                raise ValueError("it has rows without a key")
        except UNREADABLE as error:
            self.broken[file] = str(error)
            return []
        return [record(**{name: row.get(name) for name in TABLES[record.table].names}) for row in rows]

    def warnings(self) -> list[str]:
        """One sentence for each file that was left out."""
        return [f"{file} is broken and was left out: {why}. Move it away" for file, why in self.broken.items()]


def _check_columns(table: str, found: pa.Schema) -> None:
    """ValueError unless the columns are those of `table`, of which older versions lack some and later ones have more."""
    schema = TABLES[table]
    if schema.names[0] not in found.names:
        raise ValueError(f"it has no column {schema.names[0]}, but {', '.join(found.names)}")
    for name in schema.names:
        if found.get_all_field_indices(name)[1:]:
            raise ValueError(f"it has the column {name} more than once")
        if name in found.names and found.field(name).type != schema.field(name).type:
            raise ValueError(f"its column {name} is of type {found.field(name).type}, expected {schema.field(name).type}")


LEADERBOARD = """
with newest as (  -- a variant may have been evaluated more than once: its last evaluation counts
    select *, row_number() over (partition by dataset, variant, model, split, name order by run_id desc) as age
    from metrics where attack = 'all' and coalesce(occasion, 'training') = 'training'
),
wide as (
    select dataset, split, variant, model, run_id,
        max(value) filter (name = 'f1') as f1, max(value) filter (name = 'roc_auc') as roc_auc,
        max(value) filter (name = 'precision') as precision, max(value) filter (name = 'recall') as recall,
        max(value) filter (name = 'fpr') as fpr, max(value) filter (name = 'windows')::bigint as windows
    from newest where age = 1 group by all
),
ranked as (
    select *, row_number() over (partition by dataset, split order by f1 desc nulls last, roc_auc desc nulls last) as rank
    from wide
)
select * from ranked where rank <= ? and (? is null or dataset = ?) order by dataset, split, rank
"""


class LeaderboardRow(NamedTuple):
    """A model on a test split, as it was evaluated last."""

    dataset: str
    split: str
    variant: str
    model: str
    run_id: str
    f1: float | None
    roc_auc: float | None
    precision: float | None
    recall: float | None
    fpr: float | None
    windows: int | None
    rank: int  # by F1, from 1


def leaderboard(store: RunStore, dataset: str | None = None, top: int = 1) -> list[LeaderboardRow]:
    """The `top` models by F1 for each dataset and test split, from the last evaluation of each variant."""
    return [LeaderboardRow(**row) for row in store.query(LEADERBOARD, (top, dataset, dataset))]

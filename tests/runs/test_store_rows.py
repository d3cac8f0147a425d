"""Rows as files: in what order they are read, which are broken, and what earlier and later versions wrote."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdgat_models.runs import store as store_module
from kdgat_models.runs.memory import StageKey
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import RECORDS, TABLES, ChampionRow, MemoryRow, MetricRow, RunRow, never_null

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# Columns of the files that are on the disks of users: there may be more of them, but none may be called or typed otherwise.
TIME = "timestamp[us, tz=UTC]"
ON_DISK = {
    "runs": {
        "string": "run_id pipeline_run dataset variant model_type scale stage auxiliary status reason job host path digest "
        "error config",
        "int64": "seed",
        "int32": "epochs attempt",
        "double": "queue_seconds setup_seconds seconds memory_requested_mb peak_memory_mb peak_gpu_memory_mb",
        TIME: "started_at written_at",
    },
    "memory": {
        "string": "run_id pipeline_run model_type scale stage dataset outcome",
        "bool": "distilled",
        "double": "requested_mb peak_mb factor",
        TIME: "written_at",
    },
    "epochs": {"string": "run_id pipeline_run part name", "int32": "epoch", "double": "value seconds"},
    "metrics": {
        "string": "run_id pipeline_run dataset variant occasion model split attack name",
        "double": "threshold value",
    },
    "champions": {
        "string": "dataset variant models graphs config rows raw",
        "bool": "removed",
        TIME: "registered_at written_at",
    },
    "nights": {
        "string": "night champion dataset split model metric",
        "double": "value at_registration last_night loss",
        "bool": "regression",
        TIME: "written_at",
    },
    "importances": {
        "string": "snapshot_id run_id dataset variant model scale fold method kind name",
        "int64": "seed",
        "int32": "windows position",
        "double": "importance rank",
        TIME: "trained_at written_at",
    },
}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def metric(**values):
    return MetricRow(**{"run_id": "a", "pipeline_run": "p", "name": "f1", "value": 0.5, **values})


def remembered(**values):
    texts = dict.fromkeys(("run_id", "pipeline_run", "model_type", "scale", "stage", "dataset", "outcome"), "x")
    return MemoryRow(**{**texts, "distilled": False, "peak_mb": 1.0, "factor": 0.5, "written_at": NOW, **values})


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_called_and_typed_as_in_the_files_that_there_are(table):
    found = {field.name: str(field.type) for field in TABLES[table]}
    on_disk = {name: kind for kind, names in ON_DISK[table].items() for name in names.split()}
    assert found == found | on_disk


def test_rows_are_read_in_the_order_in_which_they_were_written_whatever_their_files_are_called(store):
    times = {"c": NOW, "a": NOW + timedelta(microseconds=1), "d": None, "b": NOW - timedelta(days=9)}
    for name, written_at in times.items():
        store.write(RunRow, name, [RunRow(run_id=name, written_at=written_at)])
    assert [row.run_id for row in store.rows(RunRow)] == ["d", "b", "c", "a"]


def test_files_are_those_whose_names_match(store):
    for name in ("a-1", "A-1", "b-1"):
        store.write(MetricRow, name, [metric()])
    assert [file.stem for file in store.files("metrics", "a-*")] == ["a-1"]
    assert [file.stem for file in store.files("metrics")] == ["A-1", "a-1", "b-1"]
    assert store.files("runs") == []
    assert (store.broken, store.warnings()) == ({}, [])


def test_the_file_of_a_run_is_called_by_run_pipeline_attempt_and_phase(store):
    row = RunRow(run_id="a", pipeline_run="0123456789", attempt=3)
    assert [store.write_run(phase, row).name for phase in ("start", "end")] == [
        "a-01234567-3-start.parquet",
        "a-01234567-3-end.parquet",
    ]
    assert [row.pipeline_run for row in store.rows(RunRow)] == ["0123456789"] * 2
    assert all(row.written_at and abs(row.written_at - datetime.now(UTC)) < timedelta(hours=1) for row in store.rows(RunRow))


def filled(record):
    """A row of a table with something in every column."""
    kinds = {"string": "x", "bool": False, TIME: NOW}
    return record(**{field.name: kinds.get(str(field.type), 1) for field in TABLES[record.table]})


@pytest.mark.parametrize(("record", "column"), [(record, column) for record in RECORDS for column in never_null(record)])
def test_a_row_without_a_key_makes_its_file_a_broken_one(store, record, column):
    store.write(record, "1", [filled(record)])
    file = store.write(record, "2", [filled(record), replace(filled(record), **{column: None})])
    assert len(store.rows(record)) == 1
    assert store.broken == {file: "it has rows without a key"}
    assert store.warnings() == [f"{file} is broken and was left out: it has rows without a key. Move it away"]


def test_what_a_row_cannot_be_without_is_what_it_is_known_by():
    keys = {record.table: set(never_null(record)) for record in RECORDS}
    assert keys["runs"] == {"run_id"}
    assert keys["memory"] >= {"run_id", *StageKey._fields, "peak_mb", "outcome", "factor", "written_at"}
    assert keys["champions"] == {"dataset", "variant", "written_at"}
    assert keys["importances"] == {*TABLES["importances"].names} - {"fold", "protocol", "settings"}


def test_what_may_be_unknown_is_no_key(store):
    store.write(MemoryRow, "1", [remembered(requested_mb=None, pipeline_run=None)])
    store.write(ChampionRow, "1", [ChampionRow(dataset="d", variant="v", written_at=NOW)])
    assert (len(store.rows(MemoryRow)), len(store.rows(ChampionRow))) == (1, 1)


def test_a_file_that_claims_too_many_rows_is_not_read(store, monkeypatch):
    store.write(MetricRow, "1", [metric()] * 2)
    file = store.write(MetricRow, "2", [metric()] * 3)
    monkeypatch.setattr(store_module, "MOST_ROWS", 2)
    assert len(store.rows(MetricRow)) == 2
    assert store.broken == {file: "it claims 3 rows"}


def test_a_letter_that_changed_on_the_disk_is_noticed(store):
    file = store.write(MetricRow, "1", [metric(variant="large_and_long")])
    content = file.read_bytes()
    file.write_bytes(content.replace(b"large_and_long", b"large_and_lost", 1))
    assert len(file.read_bytes()) == len(content)
    assert store.rows(MetricRow) == []
    assert list(store.broken) == [file]


def test_a_file_of_a_later_version_is_read_without_what_it_has_more(store):
    file = store.write(MetricRow, "1", [metric()])
    pq.write_table(pq.read_table(file).append_column("colour", pa.array(["red"])), file)
    (row,) = store.rows(MetricRow)
    assert row == metric()
    assert [row["value"] for row in store.query("select * from metrics")] == [0.5]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": ["a"], "y": [1]}, "it has no column run_id, but x, y"),
        ({"run_id": ["a"], "value": ["high"]}, "its column value is of type string, expected double"),
    ],
)
def test_what_is_wrong_with_columns_is_said(store, columns, message):
    file = store.write(MetricRow, "1", [metric()])
    pq.write_table(pa.table(columns), file)
    assert store.query("select * from metrics") == store.rows(MetricRow) == []
    assert store.broken == {file: message}

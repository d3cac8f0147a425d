import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdgat_models.runs.store import RunStore, leaderboard
from kdgat_models.runs.tables import TABLES, MetricRow, RunRow


def metric(run_id, variant, model, f1, split="test_01", dataset="demo"):
    keys = {"run_id": run_id, "pipeline_run": "p", "dataset": dataset, "variant": variant, "model": model, "split": split}
    return MetricRow(**keys, attack="all", threshold=0.5, name="f1", value=f1)


def run_row(run_id, status="running", attempt=1):
    return RunRow(run_id=run_id, pipeline_run="p", status=status, attempt=attempt, started_at=datetime.now(UTC))


def test_an_empty_store_has_all_tables(tmp_path):
    for table in TABLES:
        assert RunStore(tmp_path).query(f"select * from {table}") == []
    assert leaderboard(RunStore(tmp_path)) == []


def test_a_run_is_known_by_its_last_row(tmp_path):
    store = RunStore(tmp_path)
    store.write_run("start", run_row("a"))
    store.write_run("start", run_row("b"))
    store.write_run("end", run_row("a", "completed"))
    assert store.query("select run_id, status from runs order by run_id") == [
        {"run_id": "a", "status": "completed"},
        {"run_id": "b", "status": "running"},
    ]


def test_attempts_are_told_apart_and_files_of_an_older_version_are_read(tmp_path):
    store = RunStore(tmp_path)
    for number, status in ((1, "failed"), (2, "completed")):
        store.write_run("start", run_row("a", attempt=number))
        store.write_run("end", run_row("a", status, number))
    assert store.query("select attempt, status from attempts order by attempt") == [
        {"attempt": 1, "status": "failed"},
        {"attempt": 2, "status": "completed"},
    ]
    old = pa.table(
        {"run_id": ["old"], "pipeline_run": ["p"], "attempt": pa.array([1], pa.int32()), "written_at": [datetime.now(UTC)]}
    )
    pq.write_table(old, tmp_path / "runs" / "old-p-1-end.parquet")
    assert [(row.run_id, row.reason) for row in store.rows(RunRow, "old-*")] == [("old", None)]
    assert store.query("select count(*) as n from attempts") == [{"n": 3}]


def test_the_leaderboard_takes_the_best_by_f1_and_the_last_evaluation_of_each(tmp_path):
    store = RunStore(tmp_path)
    store.write(MetricRow, "1", [metric("1", "large", "gat", 0.99), metric("1", "large", "vgae", 0.5)])
    store.write(MetricRow, "2", [metric("2", "large", "gat", 0.7), metric("2", "small", "gat", 0.8)])
    store.write(MetricRow, "3", [metric("3", "small", "gat", None, "test_02")])
    best = leaderboard(store)
    assert [(row.split, row.variant, row.model, row.f1) for row in best] == [
        ("test_01", "small", "gat", 0.8),
        ("test_02", "small", "gat", None),
    ]
    assert len(leaderboard(store, "demo", top=5)) == 4
    assert leaderboard(store, "other") == []


def write_many(folder: Path, writer: int) -> None:
    store = RunStore(folder)
    for index in range(20):
        store.write(MetricRow, f"{writer}-{index}", [metric(f"{writer}-{index}", "large", "gat", 0.5)])


def test_parallel_writers_need_no_lock_and_lose_nothing(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(write_many, [tmp_path] * 4, range(4)))
    assert RunStore(tmp_path).query("select count(*) as n from metrics") == [{"n": 80}]


def killed_while_writing(folder, started, go):
    store = RunStore(folder)
    write = pq.write_table

    def write_and_wait(table, where, **options):
        write(table, where, **options)
        started.set()
        go.wait()

    pq.write_table = write_and_wait
    store.write(MetricRow, "1", [metric("1", "large", "gat", 0.2)])


def test_a_writer_that_is_killed_leaves_the_old_file_and_a_reader_sees_only_whole_ones(tmp_path):
    store = RunStore(tmp_path)
    store.write(MetricRow, "1", [metric("1", "large", "gat", 0.99)])
    context = multiprocessing.get_context("fork")
    started, go = context.Event(), context.Event()
    writer = context.Process(target=killed_while_writing, args=(tmp_path, started, go), daemon=True)
    writer.start()
    assert started.wait(60)
    assert len(list((tmp_path / "metrics").iterdir())) == 2  # the old one and the one that is being written
    assert store.query("select value from metrics") == [{"value": 0.99}]
    writer.kill()
    writer.join()
    assert store.query("select value from metrics") == [{"value": 0.99}]
    assert [row.value for row in store.rows(MetricRow)] == [0.99]
    assert store.broken == {}


def torn(file):
    file.write_bytes(file.read_bytes()[:-20])


def emptied(file):
    file.write_bytes(b"")


def of_another_kind(file):
    file.write_text("no Parquet at all")


def a_folder(file):
    file.unlink()
    file.mkdir()


def of_other_columns(file):
    pq.write_table(pa.table({"something": [1, 2]}), file)


def of_another_type(file):
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("run_id"), "run_id", pa.array([7])), file)


def of_a_doubled_column(file):
    table = pq.read_table(file)
    pq.write_table(table.append_column("value", pa.array([0.5])), file)


def torn_behind_a_whole_head(file):
    content = bytearray(file.read_bytes())
    content[4:60] = bytes(56)
    file.write_bytes(content)


BREAK = [torn, emptied, of_another_kind, a_folder, of_other_columns, of_another_type, of_a_doubled_column]
BREAK += [torn_behind_a_whole_head]


@pytest.mark.parametrize("damage", BREAK)
def test_a_broken_file_is_named_and_the_rest_is_read(tmp_path, damage):
    for name in ("1", "2"):
        RunStore(tmp_path).write(MetricRow, name, [metric(name, "large", "gat", 0.5)])
    file = tmp_path / "metrics" / "2.parquet"
    damage(file)
    for read in (
        lambda store: [row.run_id for row in store.rows(MetricRow)],
        lambda store: [row["run_id"] for row in store.query("select run_id, value, name from metrics")],
        lambda store: [row.run_id for row in leaderboard(store)],
    ):
        store = RunStore(tmp_path)
        assert read(store) == ["1"]
        assert list(store.broken) == [file]
        assert str(file) in store.warnings()[0]


def test_a_file_in_place_of_a_table_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    store = RunStore(tmp_path)
    assert store.query("select * from runs") == store.rows(RunRow) == []
    assert list(store.broken) == [tmp_path / "runs"]


def test_a_query_that_is_wrong_itself_is_an_error_of_its_own(tmp_path):
    with pytest.raises(duckdb.Error, match="nonsense"):
        RunStore(tmp_path).query("select nonsense from runs")


def test_types_do_not_drift_between_files(tmp_path):
    store = RunStore(tmp_path)
    store.write(MetricRow, "1", [metric("1", "large", "gat", 1)])
    store.write(MetricRow, "2", [metric("2", "large", "gat", None)])
    assert store.query("select distinct typeof(value) as t from metrics") == [{"t": "DOUBLE"}]


@pytest.mark.parametrize("name", ["b[1]", "[a-z]*", "what's new?"])
def test_a_folder_with_characters_of_patterns_in_its_name_is_read(tmp_path, name):
    store = RunStore(tmp_path / name)
    store.write_run("start", run_row("a"))
    store.write(MetricRow, "1", [metric("1", "large", "gat", 0.5)])
    assert [row.run_id for row in store.rows(RunRow, "a-*")] == ["a"]
    assert store.query("select run_id from attempts") == [{"run_id": "a"}]
    assert [row.f1 for row in leaderboard(store)] == [0.5]


def test_reading_writes_nothing(tmp_path):
    store = RunStore(tmp_path / "store")
    assert leaderboard(store) == store.rows(RunRow) == []
    assert not list(tmp_path.iterdir())

"""What a killed flow leaves is removed by the next one, and nothing of a flow that lives."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.paths import COMPLETE, Paths
from kdgat_models.files import atomic_path, is_left, is_temporary, remove_if_left
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import RunRow
from tasks.execution.attempts import Past, Request, due
from tasks.execution.cleanup import alive, clean_up
from tasks.execution.compute import open_compute

DEAD, LIVING = "0d00-dead", "0d00-living"
BEGAN = datetime(2026, 1, 2, tzinfo=UTC)

# What a flow writes and holds, in a process that can be killed.
FLOW = """
import sys, time
from pathlib import Path
from config.paths import Paths
from kdgat_models.files import atomic_path
from tasks.execution.cleanup import alive
paths, run = Paths(Path(sys.argv[1])), sys.argv[2]
with alive(paths, run), atomic_path(paths.root / "demo" / "graphs" / run / "store.bin") as half, atomic_path(
    paths.store / "runs" / f"{run}.parquet"
) as row:
    half.write_text("half")
    row.write_text("half")
    print("there", flush=True)
    time.sleep(600)
"""


class Flow:
    """A process that stands for a flow."""

    def __init__(self, root: Path, run: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", FLOW, str(root), run], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "there\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def root(tmp_path):
    """A root with a flow that was killed and one that lives, each with all that a flow may leave."""
    paths = Paths(tmp_path)
    flows = {run: Flow(tmp_path, run) for run in (DEAD, LIVING)}
    store = RunStore(paths.store)
    for run in flows:
        for scratch in ("dask", "tls", "slurm_logs"):
            (paths.pipeline(run) / scratch).mkdir()
            (paths.pipeline(run) / scratch / "file").write_text("")
        (tmp_path / "demo" / "graphs" / run / f".started-{run}-7").touch()
        row = RunRow(run_id=f"of-{run}", pipeline_run=run, attempt=1, status="running", started_at=BEGAN)
        store.write_run("start", row)
    flows[DEAD].kill()
    yield paths
    flows[LIVING].kill()


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_marks_half_files_and_scratch_folders_of_the_dead_are_removed_and_of_the_living_kept(root):
    before = left(root.root)
    assert sum(is_temporary(Path(name)) for name in before) == 4
    clean_up(root)
    after = left(root.root)
    assert {name for name in before if LIVING in name} <= after
    rows_and_logs = {name for name in before if DEAD in name and name.endswith((".parquet", "slurm_logs/file"))}
    assert {name for name in after if DEAD in name and not name.endswith("-end.parquet")} == rows_and_logs
    clean_up(root)
    assert left(root.root) == after, "there is nothing left to do"


def test_an_attempt_of_a_dead_flow_ends_as_killed_and_of_a_living_one_runs(root):
    clean_up(root)
    rows = RunStore(root.store).query("select run_id, status, reason from attempts order by run_id")
    assert [tuple(row.values()) for row in rows] == [
        (f"of-{DEAD}", "failed", "killed"),
        (f"of-{LIVING}", "running", None),
    ]


def test_the_end_of_a_killed_attempt_does_not_hide_a_later_one(tmp_path):
    store = RunStore(tmp_path / "store")
    row = RunRow(run_id="a", pipeline_run="first", attempt=1, started_at=BEGAN, status="running")
    store.write_run("start", row)
    again = replace(row, pipeline_run="second", attempt=2)
    store.write_run("start", again)
    store.write_run("end", replace(again, status="completed", reason="completed"))
    clean_up(Paths(tmp_path))
    assert store.query("select status from runs") == [{"status": "completed"}]
    assert store.query("select reason from attempts order by attempt") == [{"reason": "killed"}, {"reason": "completed"}]


def test_attempts_that_were_killed_with_their_flow_use_up_nothing(tmp_path):
    from config.sections import ResourcesConfig
    from kdgat_models.errors import StageInterrupted, StageOutOfMemory

    rows = [RunRow(run_id="a", attempt=number, reason="killed", pipeline_run="now", epochs=0) for number in range(1, 9)]
    past, asked, resources = Past(rows, "now"), Request(1000.0, False, "test"), ResourcesConfig()
    assert (past.multiple, past.number) == (1, 9)
    assert due(StageInterrupted("x"), past, asked, 0, resources)
    assert due(StageOutOfMemory("x"), past, asked, 0, resources)


def test_files_of_whole_versions_and_of_stages_without_a_flow_are_left_alone(tmp_path):
    version = tmp_path / "demo" / "graphs" / "whole"
    version.mkdir(parents=True)
    (version / COMPLETE).write_text("{}")
    (version / ".looks.12345678").write_text("")
    RunStore(tmp_path / "store").write_run("start", RunRow(run_id="a", pipeline_run="none", attempt=1, status="running"))
    before = left(tmp_path)
    clean_up(Paths(tmp_path))
    assert left(tmp_path) == before


def test_the_next_flow_cleans_up_before_it_begins_and_lives_until_it_ends(root):
    with open_compute("local", root, "0d00-next"):
        assert not (root.pipeline(DEAD) / "tls").exists()
        assert (root.pipeline(LIVING) / "tls").exists()
        alive_mark = root.root / "runs" / "0d00-next" / "alive.lock"
        assert alive_mark.exists()
        assert not is_left(alive_mark)
        assert {row["reason"] for row in RunStore(root.store).query("select reason from runs")} == {"killed", None}
    assert not (root.root / "runs" / "0d00-next").exists()


def test_a_flow_that_ends_leaves_nothing_of_itself(tmp_path):
    with alive(Paths(tmp_path), DEAD):
        assert (tmp_path / "runs" / DEAD / "alive.lock").exists()
        assert not is_left(tmp_path / "runs" / DEAD / "alive.lock")
    assert not list((tmp_path / "runs").iterdir())


def test_a_file_that_is_being_written_is_not_left_until_its_writer_is_gone(tmp_path):
    with atomic_path(tmp_path / "file") as temporary:
        assert not is_left(temporary)
        assert not remove_if_left(temporary)
        temporary.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert left(tmp_path) == {"file"}


def test_what_cannot_be_cleaned_up_does_not_hinder_a_flow(tmp_path):
    (tmp_path / "store" / "runs").mkdir(parents=True)
    (tmp_path / "store" / "runs" / "a-p-1-start.parquet").write_bytes(b"PAR1 broken")
    (tmp_path / "runs").write_text("no folder")
    clean_up(Paths(tmp_path))

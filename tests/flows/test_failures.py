"""A stage that fails, in any flow, is one message and exit code 1: no traceback, no dump of a library."""

import os
import shutil
import signal

import pytest
from pipeline_runs import command, kdgat, one_message, start
from processes import descendants, words_of

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore

BAD = "attack-free-alpha.csv"


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder with two datasets, each with one row that is no frame, on line 6 of the same capture."""
    folder = tmp_path_factory.mktemp("raw")
    write_demo(folder / "demo", seconds_scale=0.1)
    capture = folder / "demo" / "train_01_attack_free" / BAD
    lines = capture.read_text().splitlines(keepends=True)
    capture.write_text("".join([*lines[:5], "1.0,xyz,00,0\n", *lines[5:]]))
    shutil.copytree(folder / "demo", folder / "set_01")
    return folder


COMMANDS = {
    "run": ["--variants", "large"],
    "ingest": [],
    "evaluate": ["--protocol", "official", "--dataset", "demo", "--seeds", "1"],
    "ablate": ["--factors", "node_head", "--dataset", "demo", "--seeds", "1"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_bad_row_is_one_message_of_every_command_that_ingests(tmp_path, bad, verb):
    result = kdgat(tmp_path / "root", bad, *COMMANDS[verb], verb=verb)
    assert result.returncode == 1
    said = one_message(result.stderr)
    assert said.startswith(
        f"kdgat: ingest demo: {bad / 'demo' / 'train_01_attack_free' / BAD} line 6: the arbitration ID is 'xyz'"
    )
    assert "--on-bad-rows quarantine" in said


def test_two_stages_that_fail_are_both_named_briefly(tmp_path, bad):
    options = ["--protocol", "cross-dataset", "--dataset", "demo,set_01", "--seeds", "1"]
    result = kdgat(tmp_path / "root", bad, *options, verb="evaluate")
    assert result.returncode == 1
    first, *named = one_message(result.stderr, lines=20).splitlines()
    assert first == "kdgat: 2 stages failed:"
    assert [line.split(":")[0] for line in named] == ["  ingest demo", "  ingest set_01"]
    assert all(f"{BAD} line 6" in line for line in named)


def test_a_stage_that_somebody_kills_is_tried_again_with_the_same_memory(tmp_path, bad):
    root = tmp_path / "root"
    run = start(command(root, bad, "--on-bad-rows", "quarantine", verb="ingest"), root)
    found: list[int] = []
    run.await_moment(lambda run: found.extend(stages_of(run.process.pid)) or found, "the stage")
    os.kill(found[0], signal.SIGKILL)
    assert run.process.wait(400) == 0, run.errors()
    rows = RunStore(root / "store").query("select * from attempts where stage = 'ingest' order by attempt")
    assert [row["reason"] for row in rows] == ["lost", "completed"]
    assert rows[0]["memory_requested_mb"] == rows[1]["memory_requested_mb"]
    assert "nothing says that memory ran out" in rows[0]["error"]


def stages_of(pid: int) -> list[int]:
    return [child.pid for child in descendants(pid) if "tasks.execution.child" in words_of(child)]

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kdgat_models.errors import StageError, StageKilled, StageOutOfMemory
from tasks.artifact import Artifact
from tasks.events import Message
from tasks.execution.child import StageCall, is_out_of_memory, run_in_child
from tasks.execution.memory_watch import out_of_memory_kills


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def call(name, memory_mb=2000.0, **arguments):
        return StageCall(f"child_stages:{name}", arguments, str(tmp_path), memory_mb, 1)

    return call


GIVEN = {"kind": "raw", "path": "/x", "digest": "abc"}


def test_a_stage_gets_typed_arguments_and_returns_its_artifact_events_and_peak_memory(call, tmp_path):
    events = []
    outcome = run_in_child(call("good", given=GIVEN), events.append)
    assert outcome.artifact == Artifact(kind="x", path=tmp_path, digest="abc")
    assert events == [Message(message="working")]
    assert 10 < outcome.peak_memory_mb < 2000


def test_a_stage_gets_its_memory_allocator_back_from_dasks_nanny(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    run_in_child(call("good", given=GIVEN))
    environment = (tmp_path / "environment").read_text().splitlines()
    assert not any(line.startswith("MALLOC_TRIM_THRESHOLD_") for line in environment)
    assert "ONEDNN_PRIMITIVE_CACHE_CAPACITY=8" in environment
    assert "OMP_NUM_THREADS=1" in environment


def test_a_stage_has_no_secrets_wherever_it_is_started(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass-of-mlflow")
    run_in_child(call("good", given=GIVEN))
    assert "pass-of-mlflow" not in (tmp_path / "environment").read_text()


def test_an_error_for_the_user_comes_back_as_its_message(call):
    with pytest.raises(StageError, match=r"^there are no attacks in it$"):
        run_in_child(call("wrong_data"))


def test_a_bug_comes_back_with_the_place_of_its_traceback(call, tmp_path):
    with pytest.raises(StageError, match=r"KeyError.*stage.log"):
        run_in_child(call("bug"))
    assert "Traceback" in (tmp_path / "stage.log").read_text()


@pytest.mark.parametrize("stage", ["memory_error", "cuda_out_of_memory"])
def test_all_forms_of_out_of_memory_are_recognised(call, stage):
    with pytest.raises(StageOutOfMemory, match="it was given 2000 MB"):
        run_in_child(call(stage))


def test_a_stage_that_exceeds_its_memory_is_ended_and_nothing_else(call):
    with pytest.raises(StageOutOfMemory, match=r"it was given 300 MB and used [3-9]\d\d MB"):
        run_in_child(call("hog", memory_mb=300.0))


@pytest.mark.parametrize("forks", [0, 1])
def test_pages_of_a_mapped_file_are_not_the_stages_own(call, forks):
    outcome = run_in_child(call("reads_a_mapped_file", memory_mb=1000.0, size_mb=1500, forks=forks))
    assert outcome.peak_memory_mb < 1000


def test_memory_of_a_stages_own_processes_counts(call):
    with pytest.raises(StageOutOfMemory, match="it was given 600 MB"):
        run_in_child(call("child_hogs", memory_mb=600.0))


def test_memory_that_processes_share_counts_once(call):
    outcome = run_in_child(call("forks", memory_mb=1200.0, size_mb=500))
    assert 500 < outcome.peak_memory_mb < 1200


def test_a_stage_that_somebody_killed_was_not_out_of_memory(call):
    with pytest.raises(
        StageKilled, match=r"killed \(signal 9\); nothing says that memory ran out: it was given 2000 MB and"
    ) as raised:
        run_in_child(call("killed"))
    assert (raised.value.reason, type(raised.value)) == ("lost", StageKilled)


def test_a_stage_that_was_killed_close_to_its_limit_was_out_of_memory(call):
    with pytest.raises(StageOutOfMemory, match="it was given 1000 MB"):
        run_in_child(call("killed_when_large", memory_mb=1000.0, size_mb=950.0))


GROUP = "sys/fs/cgroup/memory/slurm/job_7/memory.oom_control"


@pytest.mark.parametrize(
    ("group", "files", "kills"),
    [
        ("4:cpu,memory:/slurm/job_7", {GROUP: "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"}, 3),
        ("0::/job_7", {"sys/fs/cgroup/job_7/memory.events": "low 0\noom 1\noom_kill 2\noom_group_kill 0\n"}, 2),
        ("0::/of/the/host", {"sys/fs/cgroup/memory.events": "oom 1\noom_kill 1\n"}, 1),
        ("0::/", {}, 5),
        ("4:memory:/", {"sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, 5),
    ],
)
def test_the_kernels_kills_are_those_of_our_control_group_else_of_the_machine(tmp_path, group, files, kills):
    for name, text in {"proc/self/cgroup": group + "\n", "proc/vmstat": "nr_free_pages 9\noom_kill 5\n", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert out_of_memory_kills(tmp_path) == kills


def test_a_stage_that_vanishes_comes_back_with_its_exit_code_and_last_words(call):
    with pytest.raises(StageError, match=r"exit code 3(.|\n)*last words"):
        run_in_child(call("exits"))


def test_an_argument_of_a_wrong_type_is_an_error(call):
    with pytest.raises(StageError, match="ValidationError"):
        run_in_child(call("good", given={"kind": 3}))


def test_when_the_worker_dies_so_does_its_stage(tmp_path):
    call = f"StageCall('child_stages:sleeps', {{}}, {str(tmp_path)!r}, 2000.0, 1)"
    script = f"from tasks.execution.child import *\nrun_in_child({call})"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    worker = subprocess.Popen([sys.executable, "-c", script], env=environment)
    pid = int(_await(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert _await(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _await(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("x"), True),
        (ValueError("bad"), False),
        (None, False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) == expected

"""What a file system may refuse is one message and exit code 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_runs import one_message

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import MetricRow

# Mounts of a process's own, which are gone with it; who is not root is root of a name space of his own.
OWN_MOUNTS = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
SMALL_DISK = 'mount -t tmpfs -o size=16m tmpfs "$1"; shift; exec "$@"'
AS_IT_IS = 'shift; exec "$@"'
# The disk is filled when the flow has begun.
FILLED = """
mount -t tmpfs -o size=150m tmpfs "$1"; folder=$1; shift
"$@" & command=$!
until ls "$folder"/root/runs/*/alive.lock; do kill -0 $command; sleep 0.1; done > /dev/null 2>&1
! dd if=/dev/zero of="$folder/filler" bs=64k 2> /dev/null
wait $command
"""
READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'


def kdgat_where(mounts: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command where `folder` is mounted otherwise."""
    shell = [*OWN_MOUNTS, "bash", "-euc", mounts, "bash", str(folder)]
    return subprocess.run(
        [*shell, sys.executable, "-m", "flows.cli", *words], capture_output=True, text=True, timeout=400, check=False
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result.stderr
    return one_message(result.stderr)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    write_demo(folder, seconds_scale=0.1)
    return folder


@pytest.mark.parametrize("verb", ["run", "ingest"])
def test_a_disk_that_is_full_soon_is_one_message(tmp_path, verb):
    said = refused(kdgat_where(SMALL_DISK, tmp_path, verb, "--root", str(tmp_path / "root")))
    assert str(tmp_path) in said
    assert "16 MB left" in said


def test_a_disk_that_fills_up_during_a_run_is_one_message(tmp_path, data):
    (tmp_path / "disk").mkdir()
    words = ["--root", str(tmp_path / "disk" / "root"), "--data-dir", str(data)]
    said = refused(kdgat_where(FILLED, tmp_path / "disk", "ingest", *words))
    assert "No space left on device" in said


def test_a_root_that_may_only_be_read_is_read_but_not_written_to(tmp_path):
    row = {"run_id": "a", "pipeline_run": "p", "dataset": "demo", "variant": "large", "model": "gat", "split": "test_01"}
    RunStore(tmp_path / "store").write(MetricRow, "1", [MetricRow(**row, attack="all", name="f1", value=0.5)])
    board = kdgat_where(READ_ONLY, tmp_path, "leaderboard", "--root", str(tmp_path))
    assert (board.returncode, board.stderr) == (0, "")
    assert "large" in board.stdout
    assert kdgat_where(READ_ONLY, tmp_path, "runs", "--root", str(tmp_path)).returncode == 0
    assert "Read-only file system" in refused(kdgat_where(READ_ONLY, tmp_path, "ingest", "--root", str(tmp_path)))


def test_a_root_of_800_characters_is_one_message(tmp_path):
    root = tmp_path.joinpath(*["x" * 100] * 8)
    assert "is too long" in refused(kdgat_where(AS_IT_IS, tmp_path, "ingest", "--root", str(root)))
    assert not list(tmp_path.iterdir())


def test_a_root_with_brackets_in_its_name_works_from_ingest_to_lists(tmp_path, data):
    root = tmp_path / "a[1]*"
    words = ["--root", str(root), "--data-dir", str(data)]
    result = kdgat_where(AS_IT_IS, tmp_path, "ingest", *words)
    assert result.returncode == 0, result.stderr[-3000:]
    again = kdgat_where(AS_IT_IS, tmp_path, "ingest", *words)
    assert "Cached" in again.stderr
    assert "ingest" in kdgat_where(AS_IT_IS, tmp_path, "runs", "--root", str(root)).stdout


@pytest.mark.parametrize("name", ["store", "demo", "cache", "runs", "prefect"])
def test_a_file_where_a_folder_should_be_is_one_message(tmp_path, data, name):
    (tmp_path / name).write_text("")
    words = ["--root", str(tmp_path), "--data-dir", str(data)]
    assert str(tmp_path / name) in refused(kdgat_where(AS_IT_IS, tmp_path, "ingest", *words))

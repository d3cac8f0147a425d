"""Files that were altered behind the pipeline's back, and what a user sees of it: a real run, damaged and run again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import TINY

from config.paths import COMPLETE, DAMAGED
from kdgat_models.can.simulate import write_demo
from tasks.seals import BLOCK, sampled_places

STAGES = ["ingest", "graphs", "autoencoder", "balanced", "dqn", "evaluation"]


def kdgat(root, *arguments):
    command = [sys.executable, "-m", "flows.cli", *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


def executions(root):
    """Stages that were started, in order."""
    rows = [row for file in (root / "store" / "runs").glob("*-start.parquet") for row in pq.read_table(file).to_pylist()]
    return [row["stage"] for row in sorted(rows, key=lambda row: row["started_at"])]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A root in which the large variant was trained, the command that did it, and what it came to."""
    root, data = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("raw")
    write_demo(data, seconds_scale=0.3)
    settings = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in TINY.items()]
    command = ["run", "--data-dir", str(data), "--variants", "large", "--json", *settings]
    done = kdgat(root, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    return root, command, json.loads(done.stdout)[0]["rows"]


def newest(root: Path, family: str) -> Path:
    return max(mark.parent for mark in root.glob(f"demo/{family}/*/{COMPLETE}"))


def unsampled(size: int) -> int:
    places = sampled_places(size)
    return next(place for place in range(size) if not any(first <= place < first + BLOCK for first in places))


def flip(path: Path, place: int, keep_time: bool) -> None:
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def largest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def test_a_byte_of_a_capture_that_was_changed_behind_its_time_is_found_and_everything_is_made_anew(finished):
    root, command, rows = finished
    before = executions(root)
    capture = largest(newest(root, "captures"), "*/*.parquet")
    flip(capture, capture.stat().st_size // 2, keep_time=True)
    looked = kdgat(root, *command, "--dry-run")
    assert looked.returncode == 0, looked.stderr[-3000:]
    assert not any(stage["cached"] for stage in json.loads(looked.stdout)["stages"])
    assert executions(root) == before
    done = kdgat(root, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{capture.name} is no longer what was published" in done.stderr
    assert sorted(executions(root)[len(before) :]) == sorted(STAGES)
    assert json.loads(done.stdout)[0]["rows"] == rows


def test_a_torn_checkpoint_is_named_and_made_anew_with_what_was_made_from_it_and_nothing_else(finished):
    root, command, rows = finished
    before = executions(root)
    tensors = newest(root, "vgae_large_autoencoder") / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    done = kdgat(root, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "model.safetensors has" in done.stderr
    assert sorted(executions(root)[len(before) :]) == ["autoencoder", "dqn", "evaluation"]
    assert json.loads(done.stdout)[0]["rows"] == rows


def test_verify_finds_every_damage_and_the_next_run_makes_it_anew(finished):
    root, command, rows = finished
    before = executions(root)
    sound = kdgat(root, "cache", "verify")
    assert sound.returncode == 0, sound.stderr[-3000:]
    capture = largest(newest(root, "captures"), "*/*.parquet")
    capture.unlink()
    column = newest(root, "graphs") / "train" / "x.bin"
    flip(column, unsampled(column.stat().st_size), keep_time=True)  # where no quick look finds it
    tensors = newest(root, "gat_large_balanced") / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    metrics = newest(root, "fusion_large_evaluation") / "metrics.json"
    metrics.write_text(metrics.read_text() + " ")
    kept = kdgat(root, "cache", "verify", "--keep", "--json")
    assert kept.returncode == 1
    found = {row["path"]: [damage["file"] for damage in row["damages"]] for row in json.loads(kept.stdout) if row["damages"]}
    assert found == {
        str(capture.parents[1]): [f"{capture.parent.name}/{capture.name}"],
        str(column.parents[1]): ["train/x.bin"],
        str(tensors.parent): ["model.safetensors"],
        str(metrics.parent): ["metrics.json"],
    }
    verified = kdgat(root, "cache", "verify")
    assert verified.returncode == 1
    assert "train/x.bin is no longer what was published" in verified.stderr
    assert (column.parents[1] / DAMAGED).exists()
    done = kdgat(root, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(executions(root)[len(before) :]) == sorted(STAGES)
    assert json.loads(done.stdout)[0]["rows"] == rows
    assert kdgat(root, "cache", "verify").returncode == 0

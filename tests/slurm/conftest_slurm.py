"""A SLURM for the session, profiles for it, and the pipeline as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import TINY
from sandbox import Sandbox

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore

SECRET = "s3cret-of-the-login-node"
GPU = {"partition": "gpu", "gres": "gpu:1", "preprocessing": "cpu"}
COMMON = {"cores": 1, "max_memory_gb": 8, "walltime": "01:00:00", "interface": "lo", "max_jobs": 2, "idle_seconds": 3}


@pytest.fixture(scope="session")
def slurm():
    # Not pytest's own folder: munge refuses a socket below a folder that others may not enter.
    folder = Path(tempfile.mkdtemp(prefix="kdgat-slurm-", dir="/tmp"))
    sandbox = Sandbox(folder)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_queue(slurm):
    yield
    slurm.until(lambda: not slurm.queue(), "the queue is empty", 60)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "demo"
    write_demo(folder, seconds_scale=0.3)
    return folder


def write_profile(root: Path, name: str, **fields: Any) -> None:
    file = root / "slurm" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(COMMON | fields))  # JSON is YAML


class Pipeline(NamedTuple):
    """`kdgat run` in a process of its own."""

    root: Path
    process: subprocess.Popen[str]
    log: Path

    def rows(self) -> list[dict[str, Any]]:
        """Attempts, oldest first."""
        return RunStore(self.root / "store").query("select * from attempts order by started_at")

    def started(self, stage: str) -> bool:
        return any(row["stage"] == stage for row in self.rows())

    def until(self, condition, what: str, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the run ended before {what}\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def result(self, seconds: float = 400) -> list[dict[str, Any]]:
        """Rows of metrics of the one variant."""
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, self.log.read_text()[-5000:]
        return json.loads(output)[0]["rows"]

    def attempts(self) -> dict[str, list[str]]:
        """Stage -> how its attempts ended, in order."""
        found: dict[str, list[str]] = {}
        for row in self.rows():
            found.setdefault(row["stage"], []).append(row["reason"])
        return found


@pytest.fixture
def run(data, tmp_path, slurm):
    """A function that starts the pipeline; what still runs at the end of the test is ended."""
    started: list[Pipeline] = []

    def start(*more: str, root: Path | None = None, runner: str = "slurm:gpu", **settings: Any) -> Pipeline:
        root = root or tmp_path / "root"
        write_profile(root, "cpu", partition="cpu") if not (root / "slurm" / "cpu.yaml").exists() else None
        write_profile(root, "gpu", **GPU) if not (root / "slurm" / "gpu.yaml").exists() else None
        chosen = {**TINY, **{name.replace("__", "."): value for name, value in settings.items()}}
        options = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in chosen.items()]
        command = [sys.executable, "-m", "flows.cli", "run", "--root", str(root), "--data-dir", str(data), "--runner", runner]
        log = root / f"log-{len(started)}"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, "--variants", "large", "--json", *options, *more],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env=os.environ | {"KDGAT_ROOT": str(root), "PREFECT_API_KEY": SECRET, "MLFLOW_TRACKING_PASSWORD": SECRET},
            )
        started.append(Pipeline(root, process, log))
        return started[-1]

    yield start
    for pipeline in started:
        if pipeline.process.poll() is None:
            pipeline.process.terminate()
            pipeline.process.wait(60)
        if pipeline.process.stdout is not None:
            pipeline.process.stdout.close()


def run_here(root: Path, data: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Metrics of the pipeline on this machine, where nothing happens to it."""
    options = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "flows.cli", "run", "--root", str(root), "--data-dir", str(data), "--variants", "large"]
    done = subprocess.run([*command, "--json", *options], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)[0]["rows"]


@pytest.fixture(scope="session")
def undisturbed(data, tmp_path_factory):
    return run_here(tmp_path_factory.mktemp("undisturbed"), data, LONGER)


# Enough epochs for something to happen in the middle of them.
LONGER = {**TINY, "training.max_epochs": 8, "training.patience": 8}
EPOCHS = {"training__max_epochs": 8, "training__patience": 8}
STAGES = ["ingest", "graphs", "autoencoder", "balanced", "dqn", "evaluation"]

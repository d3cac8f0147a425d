"""Stages on real Dask workers of this machine."""

import os
import signal
import time
from pathlib import Path

import pytest

from config.errors import ConfigError
from kdgat_models.errors import StageError, StageInterrupted, StageOutOfMemory
from tasks.child import StageCall
from tasks.compute import Compute, check_runner
from tasks.runner import Needs

NEEDS = Needs("cpu", 1000.0)


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    compute = Compute("local", tmp_path_factory.mktemp("run"), "test")
    yield compute
    compute.close()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def call(folder, name, memory_mb=1000.0, **arguments):
    return StageCall(f"child_stages:{name}", arguments, str(folder), memory_mb, 1)


def test_events_and_the_result_come_back(compute, tmp_path):
    events = []
    outcome = compute.run(call(tmp_path, "good", given={"kind": "x", "path": "/", "digest": "d"}), NEEDS, events.append)
    assert outcome.artifact["digest"] == "d"
    assert [event["event"] for event in events] == ["started", "log"]
    assert not list(tmp_path.glob(".started-*"))


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        ("hog", StageOutOfMemory, "it was given 300 MB"),
        ("cuda_out_of_memory", StageOutOfMemory, "ran out of memory"),
        ("killed", StageOutOfMemory, "ran out of memory"),
        ("told_to_end", StageInterrupted, "was told to end"),
        ("wrong_data", StageError, "there are no attacks in it"),
    ],
)
def test_errors_come_back_from_the_worker_as_what_they_are(compute, tmp_path, stage, error, message):
    with pytest.raises(error, match=message) as raised:
        compute.run(call(tmp_path, stage, 300.0), NEEDS, lambda event: None)
    assert type(raised.value) is error
    assert raised.value.peak_memory_mb > 0


def test_a_worker_that_dies_is_an_interruption_and_nothing_runs_twice(compute, tmp_path):
    starts = []

    def kill_worker(event):
        if event["event"] != "started":
            return
        starts.append(event)
        workers = compute.runner.tier(NEEDS).cluster.workers.values()
        os.kill(next(nanny.pid for nanny in workers if nanny.worker_address == event["worker"]), signal.SIGKILL)

    with pytest.raises(StageInterrupted, match="that ran child_stages:sleeps is gone"):
        compute.run(call(tmp_path, "sleeps"), NEEDS, kill_worker)
    time.sleep(3)
    assert len(starts) == 1


def test_nobody_without_the_runs_certificate_is_let_in(compute):
    from distributed import Client
    from distributed.security import Security

    address = compute.runner.tier(NEEDS).cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1")
    with pytest.raises(OSError, match=r"(?s)."):
        Client(address, security=Security.temporary(), timeout=5)
    with pytest.raises(OSError, match=r"(?s)."):
        Client(address.replace("tls", "tcp"), timeout=5)


@pytest.mark.parametrize("name", ["cluster", "local:x", "slurm:nowhere"])
def test_an_unknown_runner_is_an_error(name):
    with pytest.raises(ConfigError, match=r"there are"):
        check_runner(name)

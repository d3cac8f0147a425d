"""Stages on real Dask workers of this machine."""

import os
import signal
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from served import answer

from config.errors import ConfigError
from kdgat_models.errors import StageError, StageInterrupted, StageKilled, StageOutOfMemory
from tasks.events import Started
from tasks.execution.child import StageCall
from tasks.execution.compute import Compute
from tasks.execution.local import local_workers
from tasks.execution.runner import Needs, RunPlace, check_runner

NEEDS = Needs("cpu", 1000.0)
GIVEN = {"kind": "x", "path": "/", "digest": "d"}
SECRETS = {
    "PREFECT_API_KEY": "key-of-prefect",
    "PREFECT_API_AUTH_STRING": "kdgat:key-of-the-root",
    "MLFLOW_TRACKING_PASSWORD": "pass-of-mlflow",
    "MLFLOW_TRACKING_URI": "https://me:pass-in-an-address@theirs.example",
    "AWS_SECRET_ACCESS_KEY": "key-of-aws",
}


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        compute = Compute("local", RunPlace(tmp_path_factory.mktemp("run"), "test"))
        yield compute
        compute.close()


def call(folder, name, memory_mb=1000.0, **arguments):
    return StageCall(f"child_stages:{name}", arguments, str(folder), memory_mb, 1)


def test_events_and_the_result_come_back(compute, tmp_path):
    events = []
    outcome = compute.run(call(tmp_path, "good", given=GIVEN), NEEDS, events.append)
    assert outcome.artifact.digest == "d"
    assert [event.event for event in events] == ["started", "log"]
    assert not list(tmp_path.glob(".started-*"))


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        ("hog", StageOutOfMemory, "it was given 300 MB"),
        ("cuda_out_of_memory", StageOutOfMemory, "ran out of memory"),
        ("killed", StageKilled, "nothing says that memory ran out"),
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
        if not isinstance(event, Started):
            return
        starts.append(event)
        port = int(event.worker.rpartition(":")[2])
        os.kill(next(process.pid for process, own in listeners() if own == port), signal.SIGKILL)

    with pytest.raises(StageInterrupted, match="that ran child_stages:sleeps is gone"):
        compute.run(call(tmp_path, "sleeps"), NEEDS, kill_worker)
    time.sleep(3)
    assert len(starts) == 1
    for _ in range(local_workers()):  # as many as there were, one after the other dies and is replaced
        with pytest.raises(StageInterrupted, match="is gone"):
            compute.run(call(tmp_path, "sleeps"), NEEDS, kill_worker)
    assert compute.run(call(tmp_path, "good", given=GIVEN), NEEDS, lambda event: None).artifact.digest == "d"


def listeners():
    """(process, port) of every port that this process and those that it started listen on."""
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            for found in process.net_connections("inet"):
                if found.status == psutil.CONN_LISTEN:
                    assert found.laddr.ip == "127.0.0.1"
                    yield process, found.laddr.port


def test_every_port_speaks_tls_with_the_certificate_of_the_run_and_nothing_else(compute, tmp_path):
    compute.run(call(tmp_path, "good", given=GIVEN), NEEDS, lambda event: None)
    rung = compute.rung(NEEDS)
    rung.client.wait_for_workers(local_workers(), timeout=300)
    ports = {port for _, port in listeners()}
    known = {int(address.rpartition(":")[2]) for address in (rung.cluster.scheduler_address, *rung.workers())}
    assert ports == known, "one for the scheduler and one for each worker"
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    for port in ports:
        assert answer(port) == b""
        assert answer(port, anybody) == b""


def test_workers_and_stages_have_no_secrets_of_the_flow(compute, tmp_path):
    compute.run(call(tmp_path, "good", given=GIVEN), NEEDS, lambda event: None)
    stage = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines() if "=" in line)
    assert stage["PYTHONPATH"] == os.environ["PYTHONPATH"]
    assert not SECRETS.keys() & stage.keys()
    workers = compute.rung(NEEDS).client.run(eval, "dict(__import__('os').environ)")
    assert workers
    for environment in workers.values():
        assert environment["PYTHONPATH"] == os.environ["PYTHONPATH"]
        assert not SECRETS.keys() & environment.keys()


def test_workers_end_with_a_flow_that_is_killed(tmp_path):
    script = (
        "import os, pathlib, signal, sys\n"
        "from tasks.execution.compute import Compute\nfrom tasks.execution.runner import Needs, RunPlace\n"
        "rung = Compute('local', RunPlace(pathlib.Path(sys.argv[1]), 'test')).rung(Needs('cpu', 1.0))\n"
        "rung.client.wait_for_workers(1, timeout=300)\n"
        "print(*[worker.process.pid for worker in rung.cluster.workers.values()], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == local_workers()
    deadline = time.monotonic() + 60
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < deadline, "workers outlive their flow"
        time.sleep(0.1)


def test_nobody_without_the_runs_certificate_is_let_in(compute):
    from distributed import Client
    from distributed.security import Security

    address = compute.rung(NEEDS).cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1")
    with pytest.raises(OSError, match=r"(?s)."):
        Client(address, security=Security.temporary(), timeout=5)
    with pytest.raises(OSError, match=r"(?s)."):
        Client(address.replace("tls", "tcp"), timeout=5)


@pytest.mark.parametrize("name", ["cluster", "local:x", "slurm:nowhere"])
def test_an_unknown_runner_is_an_error(name):
    with pytest.raises(ConfigError, match=r"there are"):
        check_runner(name)

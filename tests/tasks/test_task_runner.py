"""The runner that flows name, in real flows with a server of Prefect, on real workers of this machine."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import cloudpickle
import psutil
import pytest
from prefect import flow, get_client, task
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.futures import wait
from prefect.testing.utilities import prefect_test_harness

from config.errors import ConfigError
from kdgat_models.errors import KdgatError, StageInterrupted
from kdgat_models.files import is_left
from tasks.events import Started
from tasks.execution.child import StageCall
from tasks.execution.runner import Needs
from tasks.execution.task_runner import StageTaskRunner, current_runner, on_workers

NEEDS = Needs("cpu", 500.0)
LONG_S = 300  # guards against a hang; nothing is measured against it


@pytest.fixture(scope="module", autouse=True)
def server():
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    return tmp_path / "root"


@task
def stage(folder: Path, name: str, kills: str = "nobody") -> str:
    """A supervisor whose worker is killed when the stage has started, or which comes to an end itself."""

    def on_event(event):
        if isinstance(event, Started) and kills == "worker":
            port = int(event.worker.rpartition(":")[2])
            for process in psutil.Process().children(recursive=True):
                if any(connection.laddr.port == port for connection in process.net_connections("inet")):
                    os.kill(process.pid, signal.SIGKILL)
                    return

    if kills == "supervisor":
        raise KeyboardInterrupt
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {"given": {"kind": "x", "path": "/", "digest": "made"}} if name == "good" else {}
    call = StageCall(f"child_stages:{name}", arguments, str(folder), 500.0, 1)
    return current_runner().compute.run(call, NEEDS, on_event).artifact.digest


def state_of(future):
    """The final state of a task as Prefect's API tells it, which hears of it a little later."""
    deadline = time.monotonic() + LONG_S
    state = None
    with get_client(sync_client=True) as client:
        while state is None or not state.is_final():
            assert time.monotonic() < deadline, f"the API knows no end: {state}"
            time.sleep(0.2)
            with suppress(ObjectNotFound):
                state = client.read_task_run(future.task_run_id).state
    return state


def test_a_task_whose_worker_is_killed_has_failed_also_for_the_api(root):
    @flow(task_runner=on_workers(4))
    def dies(runner: str = "local"):
        killed = stage.submit(root / "a", "sleeps", "worker")
        done, not_done = wait([killed], timeout=LONG_S)
        assert (done, not_done) == ({killed}, set())
        # Not before: a worker that has both would take the result of the first with it that is done.
        sound = stage.submit(root / "b", "good")
        killed.wait()
        assert killed.state.type == state_of(killed).type == StateType.FAILED
        with pytest.raises(StageInterrupted, match="that ran child_stages:sleeps is gone"):
            killed.result()
        return sound.result()

    assert dies() == "made"


def test_a_supervisor_that_is_ended_itself_has_crashed_also_for_the_api(root):
    @flow(task_runner=on_workers(4))
    def ends(runner: str = "local"):
        future = stage.submit(root / "a", "good", "supervisor")
        with pytest.raises(KeyboardInterrupt):
            future.wait(LONG_S)
        return state_of(future).type

    assert ends() == StateType.CRASHED


def test_a_flow_lives_while_it_runs_and_all_that_it_started_ends_with_it(root):
    left, seen = [], {}

    def give_up_the_lock():
        seen["processes when the lock is given up"] = [process for process in left if process.is_running()]

    @flow(task_runner=on_workers(4))
    def lives(runner: str = "local"):
        current_runner().at_the_end(give_up_the_lock)
        assert stage.submit(root / "a", "good").result() == "made"
        (alive,) = root.glob("runs/*/alive.lock")
        assert not is_left(alive)
        rung = current_runner().compute.rung(NEEDS)
        left.extend(psutil.Process(worker.process.pid) for worker in rung.cluster.workers.values())
        assert left
        stage.submit(root / "b", "sleeps")
        raise RuntimeError("the flow fails while a stage runs")

    with pytest.raises(RuntimeError, match="the flow fails while a stage runs"):
        lives()
    assert seen == {"processes when the lock is given up": []}
    assert not list(root.glob("runs/*/*"))


def test_a_flow_whose_stages_are_all_cached_starts_no_worker(root):
    @task
    def known():
        return "known"

    @flow(task_runner=on_workers(4))
    def cached(runner: str = "local"):
        found = known.submit().result()
        assert not current_runner().compute._rungs
        return found

    assert cached() == "known"


def test_a_runner_that_there_is_not_is_an_error_of_the_flow(root):
    @flow(task_runner=on_workers(4))
    def lost(runner: str = "cluster"):
        stage.submit(root / "a", "good")

    with pytest.raises(ConfigError, match="unknown runner 'cluster'"):
        lost()


def test_mapping_does_not_wait_for_a_future_that_all_calls_share():
    mapped = threading.Event()

    @task
    def slow():
        return 1 if mapped.wait(LONG_S) else 0

    @task
    def add(number, shared):
        return number + shared

    @flow(task_runner=on_workers(4))
    def maps(runner: str = "local"):
        futures = add.map([10, 20], slow.submit())
        mapped.set()
        return futures.result()

    assert maps() == [11, 21]


def test_a_duplicate_is_as_large_and_a_runner_can_be_sent_to_another_process():
    runner = StageTaskRunner(3)
    assert runner.duplicate().side_by_side == 3
    assert cloudpickle.loads(cloudpickle.dumps(runner)).side_by_side == 3


def test_no_cluster_without_certificates_is_started_by_asking_the_runner_for_a_client():
    with StageTaskRunner(1) as runner, pytest.raises(KdgatError, match="one for each rung of memory"):
        _ = runner.client


def test_a_stage_outside_such_a_flow_is_an_error():
    with pytest.raises(KdgatError, match="task_runner=on_workers"):
        current_runner()

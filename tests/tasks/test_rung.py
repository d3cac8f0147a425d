"""What prefect-dask and Dask do by default and rungs must not, on real workers of this machine."""

import os
import threading
from pathlib import Path

import dask
import pytest
from distributed import Client

from kdgat_models.errors import ClusterError, StageInterrupted
from tasks.execution import local
from tasks.execution.child import StageCall
from tasks.execution.dask_settings import apply_settings, new_security, private_folder
from tasks.execution.local import LocalRung, LocalRunner
from tasks.execution.runner import RunPlace
from tasks.execution.submission import NeverStartedError, Submission


@pytest.fixture
def security(tmp_path):
    return new_security(private_folder(tmp_path / "tls"))


@pytest.fixture
def one_worker(monkeypatch):
    monkeypatch.setattr(local, "local_workers", lambda: 1)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def test_a_default_client_of_the_process_is_left_alone(tmp_path, security, one_worker):
    with Client(processes=False, n_workers=1, dashboard_address=None, set_as_default=True) as others:
        with LocalRung(tmp_path, security) as rung:
            assert rung.cluster is not others.cluster
            assert rung.client.scheduler.address == rung.cluster.scheduler_address != others.scheduler.address
            assert Client.current() is others
        assert others.submit(sum, [1, 2]).result(timeout=300) == 3


LOADED = """(
    __import__("tasks.execution.on_worker"),
    [name for name in ("prefect", "prefect_dask", "mlflow") if name in __import__("sys").modules],
)[1]"""


def test_what_runs_on_a_worker_needs_no_prefect(tmp_path, security, one_worker):
    with LocalRung(tmp_path, security) as rung:
        assert rung.client.submit(eval, LOADED).result(timeout=300) == []


def test_a_stage_in_the_queue_of_a_worker_that_dies_is_not_blamed_for_it(tmp_path, security, one_worker):
    ends = {}

    def submit(name, on_event):
        folder = tmp_path / name
        folder.mkdir()
        runner = LocalRunner(RunPlace(tmp_path, "test"))
        try:
            Submission(runner, rung, StageCall("child_stages:sleeps", {}, str(folder), 500.0, 1), on_event, name).outcome()
        except Exception as error:
            ends[name] = error

    started = threading.Event()
    with LocalRung(tmp_path, security) as rung:
        threads = [threading.Thread(target=submit, args=("first", lambda event: started.set()))]
        threads[0].start()
        assert started.wait(300)
        threads.append(threading.Thread(target=submit, args=("second", lambda event: None)))
        threads[1].start()
        while len(rung.cluster.scheduler.tasks) < 2:
            started.wait(0.05)
        (worker,) = rung.cluster.workers.values()
        worker.process.kill()
        for thread in threads:
            thread.join(60)
    assert type(ends["first"]) is StageInterrupted
    assert type(ends["second"]) is NeverStartedError


def test_a_machine_on_which_no_worker_stays_alive_is_an_error_with_its_words(tmp_path, security, one_worker, monkeypatch):
    monkeypatch.setattr(local, "WORKER_OPTIONS", ["--no-such-option"])
    with LocalRung(tmp_path, security) as rung:
        while (complaint := rung.complaint()) is None:
            threading.Event().wait(0.1)
    assert isinstance(complaint, ClusterError)
    assert "no Dask worker stays alive on this machine" in str(complaint)
    assert "no-such-option" in str(complaint)


def test_neither_a_wait_without_workers_nor_a_death_is_for_dask_to_judge():
    with dask.config.set({"distributed.scheduler.no-workers-timeout": "1s", "distributed.scheduler.allowed-failures": 3}):
        apply_settings()
        assert dask.config.get("distributed.scheduler.no-workers-timeout") is None
        assert dask.config.get("distributed.scheduler.allowed-failures") == 0


def test_a_rung_that_cannot_start_leaves_nothing_open(tmp_path, security, one_worker, monkeypatch):
    def no_cluster(**options):
        raise RuntimeError("no such interface")

    rung = LocalRung(tmp_path, security)
    rung.resolved_cluster_class = rung.cluster_class = no_cluster
    with pytest.raises(RuntimeError, match="no such interface"):
        rung.__enter__()
    assert rung.cluster is None
    assert not rung._started

"""How clusters of SLURM jobs are closed."""

import os

import pytest

from kdgat_models.errors import StageInterrupted
from tasks.execution.compute import Compute
from tasks.execution.runner import Needs, RunPlace
from tasks.execution.slurm import cluster as slurm
from tasks.execution.slurm.cluster import SlurmRung
from tasks.execution.slurm.script import Submissions

SIZES = Needs("cpu", 1000.0), Needs("cpu", 2000.0)


class SlowRung(SlurmRung):
    """Notes when it is closed, which takes a real one seconds."""

    def __init__(self, name, jobs, log):
        self.called, self.log = name, log
        self.submissions = Submissions()
        self.submissions.jobs.extend(jobs)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.log.append(f"{self.called} is closed")


@pytest.fixture
def scancel(tmp_path, monkeypatch):
    """A `scancel` that writes down what it was asked for; returns the file."""
    file = tmp_path / "cancelled"
    command = tmp_path / "scancel"
    command.write_text(f'#!/bin/sh\necho "$@" >> {file}\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return file


def test_the_jobs_of_all_clusters_are_cancelled_before_the_first_is_closed(tmp_path, scancel, monkeypatch):
    compute, log = Compute("slurm", RunPlace(tmp_path / "run", "kdgat")), []
    rungs = [SlowRung("cluster 1", ["11", "12"], log), SlowRung("cluster 2", ["13"], log)]
    monkeypatch.setattr(compute.runner, "new_rung", lambda needs, security: rungs[SIZES.index(needs)])
    assert [compute.rung(needs) for needs in (*SIZES, SIZES[0])] == [*rungs, rungs[0]]
    cancel = slurm.cancel
    monkeypatch.setattr(slurm, "cancel", lambda jobs: (cancel(jobs), log.append(f"cancelled {' '.join(jobs)}")))
    compute.close()
    assert log == ["cancelled 11 12 13", "cluster 2 is closed", "cluster 1 is closed"]
    assert scancel.read_text() == "11 12 13\n"
    assert not (tmp_path / "run" / "tls").exists()


def test_no_cluster_is_started_for_a_flow_that_has_been_stopped(tmp_path, scancel, monkeypatch):
    compute = Compute("slurm", RunPlace(tmp_path / "run", "kdgat"))
    monkeypatch.setattr(compute.runner, "new_rung", lambda needs, security: pytest.fail("a cluster is made"))
    compute.close()
    with pytest.raises(StageInterrupted, match="its flow has been stopped") as raised:
        compute.rung(SIZES[0])
    assert raised.value.reason == "stopped"


def test_one_cluster_that_cannot_be_closed_leaves_no_other_open(tmp_path, scancel, monkeypatch):
    class BadRung(SlowRung):
        def __exit__(self, *reason):
            raise OSError("the scheduler is gone")

    compute, log = Compute("slurm", RunPlace(tmp_path / "run", "kdgat")), []
    rungs = [SlowRung("cluster 1", [], log), BadRung("cluster 2", [], log)]
    monkeypatch.setattr(compute.runner, "new_rung", lambda needs, security: rungs[SIZES.index(needs)])
    for needs in SIZES:
        compute.rung(needs)
    with pytest.raises(OSError, match="the scheduler is gone"):
        compute.close()
    assert log == ["cluster 1 is closed"]
    assert not (tmp_path / "run" / "tls").exists()

"""How clusters of SLURM jobs are closed."""

import os
from typing import NamedTuple

import pytest

from tasks.execution.slurm import cluster as slurm
from tasks.execution.slurm.cluster import SlurmRunner
from tasks.execution.slurm.script import Submissions


class SlowTier(NamedTuple):
    """A cluster that notes when it is closed, which takes a real one seconds."""

    name: str
    submissions: Submissions
    log: list[str]

    def close(self) -> None:
        self.log.append(f"{self.name} is closed")


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
    runner, log = SlurmRunner("default", tmp_path / "run", "kdgat"), []
    for number, jobs in ((1, ["11", "12"]), (2, ["13"])):
        tier = SlowTier(f"cluster {number}", Submissions(), log)
        tier.submissions.jobs.extend(jobs)
        monkeypatch.setitem(runner._tiers, ("cpu", number), tier)
    cancel = slurm.cancel
    monkeypatch.setattr(slurm, "cancel", lambda jobs: (cancel(jobs), log.append(f"cancelled {' '.join(jobs)}")))
    runner.close()
    assert log == ["cancelled 11 12 13", "cluster 1 is closed", "cluster 2 is closed"]
    assert scancel.read_text() == "11 12 13\n"

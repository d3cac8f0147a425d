"""`kdgat cluster check`: what is wrong with a profile, said in words, found out with a real job."""

import json
import os
import subprocess
import sys

import pytest
from conftest_slurm import write_profile


@pytest.fixture
def check(slurm, tmp_path):
    def check(**fields):
        write_profile(tmp_path, "own", **fields)
        command = [sys.executable, "-m", "flows.cli", "cluster", "check", "own", "--root", str(tmp_path), "--json"]
        environment = os.environ | {"KDGAT_ROOT": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
        report = json.loads(done.stdout)
        assert done.returncode == (1 if report["problems"] else 0), done.stderr
        return report

    return check


def test_a_profile_that_works(check):
    report = check(partition="cpu")
    assert report["problems"] == []
    assert report["found"]["sees_the_root_folder"]
    assert report["found"]["python"] == sys.version.split()[0]


def test_a_missing_gpu_is_named(check):
    (problem,) = check(partition="gpu", gres="gpu:1")["problems"]
    assert problem.startswith("missing GPU: the profile asks for gpu:1, SLURM gave 0, torch sees none")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"partition": "nowhere"}, "set `partition` to one that `sinfo` lists"),
        ({"gres": "gpu:a100:1"}, "SLURM refused the job"),
        ({"cores": 100}, "SLURM will not start the job"),
        ({"interface": "ib7"}, "'ib7' is not a valid network interface"),
        ({"python": f"{sys.base_prefix}/bin/python3"}, "The node's Python lacks our packages"),
        ({"python": "/nowhere/python"}, "The node lacks a file that the job needs"),
        (
            {"python": f"unshare -n sh -c 'ip link set lo up; exec \"$@\"' x {sys.executable}", "death_timeout_seconds": 5},
            "No route from the node to the scheduler at tls://127.0.0.1",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(check, fields, message):
    (problem,) = check(partition=fields.pop("partition", "cpu"), **fields)["problems"]
    assert message in problem

"""`kdgat plugins`: what can be chosen, from where, and why not."""

import json
import os
import subprocess
import sys

import pytest
from installed import install

from config.paths import CHECKOUT
from config.registry import REGISTRY


@pytest.fixture
def listing(tmp_path):
    """A function that runs `kdgat plugins` where packages lie in a folder of sys.path; gives its exit code and output."""

    def run(*options: str) -> tuple[int, str]:
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{CHECKOUT}", "COLUMNS": "300"}
        command = [sys.executable, "-m", "flows.cli", "plugins", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    return run


def test_all_that_is_built_in_is_listed(listing):
    code, text = listing("--json")
    ours = {(row["kind"], row["name"]) for row in json.loads(text) if row["from"] == "built in"}
    assert code == 0
    assert ours == {(kind, name) for kind, entry in REGISTRY.items() for name in entry.built_in}


def test_each_plug_in_has_its_distribution_and_what_is_wrong_with_it(listing, tmp_path):
    points = {"good": "rings:double", "gone": "no_rings:double", "torn": "torn:double", "mean": "rings:double"}
    files = {"rings.py": "def double(width): ...", "torn.py": "import no_such_module"}
    install(tmp_path, "kdgat-rings", {"kdgat.poolings": points, "kdgat.lakes": {"deep": "rings:double"}}, files)
    code, text = listing("--json")
    found = {(row["kind"], row["name"]): row["state"] for row in json.loads(text) if row["from"] == "kdgat-rings 0.1"}
    assert code == 1
    assert found["poolings", "good"] == "ok"
    assert "No module named 'no_rings'" in found["poolings", "gone"]
    assert "No module named 'no_such_module'" in found["poolings", "torn"]
    assert "is built in" in found["poolings", "mean"]
    assert "there is no group kdgat.lakes" in found["lakes", "deep"]


def test_the_table_names_them_too(listing, tmp_path):
    install(tmp_path, "kdgat-rings", {"kdgat.losses": {"round": "rings:double"}}, {"rings.py": "def double(): ..."})
    code, text = listing()
    [line] = [line for line in text.splitlines() if "round" in line]
    assert code == 0
    assert "losses" in line
    assert "kdgat-rings 0.1" in line

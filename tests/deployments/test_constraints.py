"""constraints.txt belongs to pyproject.toml, and a check says so when it no longer does."""

import importlib.util
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from config.paths import CHECKOUT

SCRIPT = CHECKOUT / "deployments" / "renew_constraints.py"


@pytest.fixture(scope="module")
def renewal():
    spec = importlib.util.spec_from_file_location("renew_constraints", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_constraints_match_pyproject(renewal):
    wanted = renewal.requirements(CHECKOUT / "pyproject.toml")
    assert {"torch", "pytest", "pyright"} <= {requirement.name for requirement in wanted}
    assert renewal.mismatches(wanted, renewal.pins((CHECKOUT / "constraints.txt").read_text())) == []


def test_each_kind_of_mismatch_is_named(renewal):
    # typer requires rich; of what is not installed nothing is known.
    wanted = [Requirement("typer>=0.15"), Requirement("nowhere-to-be-found>=2")]
    installed = renewal.pins((CHECKOUT / "constraints.txt").read_text())
    unpinned = [line.removesuffix(" has no pin") for line in renewal.mismatches(wanted, {})]
    names = {canonicalize_name(Requirement(line).name) for line in unpinned} - {"nowhere-to-be-found"}
    needed = {name: installed[name] for name in names}
    assert "rich" in needed
    pinned = {**needed, "nowhere-to-be-found": "2.1"}
    assert renewal.mismatches(wanted, pinned) == []
    assert renewal.mismatches(wanted, pinned | {"nowhere-to-be-found": "1.9"}) == [
        "nowhere-to-be-found==1.9 is not allowed by nowhere-to-be-found>=2"
    ]
    assert renewal.mismatches(wanted, pinned | {"stray": "1"}) == ["stray is pinned and nobody requires it"]
    without = {name: version for name, version in pinned.items() if name != "rich"}
    assert any(line.startswith("rich") and line.endswith("has no pin") for line in renewal.mismatches(wanted, without))


def test_names_are_told_whatever_their_spelling(renewal):
    assert renewal.pins("# why\nPyYAML==6.0.2\ncoverage[toml]==7.1  # of tests\n\nflake_8==1\n") == {
        "pyyaml": "6.0.2",
        "coverage": "7.1",
        "flake-8": "1",
    }


def test_the_check_is_a_command_that_changes_nothing():
    before = (CHECKOUT / "constraints.txt").read_bytes()
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "constraints.txt matches pyproject.toml\n")
    assert (CHECKOUT / "constraints.txt").read_bytes() == before

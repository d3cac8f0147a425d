"""The example of a package that adds something: installed into an environment of its own, it is listed, tested and used."""

import json
import subprocess
import sys

import pytest
from example_environment import example_environment

from config.paths import CHECKOUT

RUN = """
import torch
from conftest import tiny
from config.catalog import origin
from kdgat_models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.registry import build, restore
from pathlib import Path
import sys

schema, known = feature_schema("relative").describe(), Vocabulary.of([1, 2, 3])
config = tiny("gat", **{"gat.network": sys.argv[1], "gat.conv": sys.argv[2]})
network = build(config, known.num_ids, schema)
folder = Path(sys.argv[3])
folder.mkdir()
save_checkpoint(folder, Checkpoint(config, schema, known, Decision({"f1": 0.5}), network.state_dict()))
print(type(restore(load_checkpoint(folder))).__module__, origin("example_yard"))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A function that runs Python of an environment in which the example is installed; gives what was printed."""
    return example_environment(tmp_path_factory.mktemp("example"))


def test_what_the_example_adds_is_listed(python):
    rows = json.loads(python("-m", "flows.cli", "plugins", "--json"))
    added = {(row["kind"], row["name"], row["state"]) for row in rows if row["from"] == "kdgat-example 0.1"}
    things = {"networks": "deep_sets", "convolutions": "gin", "datasets": "example"}
    things |= {"stages": "class_balance", "hooks": "write_down"}
    assert added == {(kind, name, "ok") for kind, name in things.items()}


def test_its_dataset_is_in_the_catalogue(python):
    rows = {row["dataset"]: row["catalogue"] for row in json.loads(python("-m", "flows.cli", "datasets", "--json"))}
    assert rows["example_yard"] == "kdgat-example 0.1"


def test_its_own_tests_pass(python):
    assert "4 passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "source", "source/tests")


@pytest.mark.parametrize(("network", "convolution"), [("deep_sets", "transformer"), ("gat", "gin")])
def test_its_network_and_its_convolution_are_built_kept_and_restored(python, tmp_path, network, convolution):
    script = f"import sys; sys.path.insert(0, {str(CHECKOUT / 'tests')!r})\n{RUN}"
    said = python("-c", script, network, convolution, str(tmp_path / "model")).split()
    module = "kdgat_example.deep_sets" if network == "deep_sets" else "kdgat_models.networks.gat"
    assert said == [module, "kdgat-example", "0.1"]


def test_the_tests_themselves_do_not_see_the_example():
    """Where it is not installed its names are unknown."""
    command = [sys.executable, "-m", "flows.cli", "plugins", "--json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout
    assert "kdgat-example" not in listed

"""A pipeline with what a package of others adds, in an environment of its own."""

import json

from example_environment import example_environment
from pipeline_runs import command, executions


def test_a_run_has_its_network_its_stage_and_its_hook(demo_csv, tmp_path):
    python, root = example_environment(tmp_path), tmp_path / "root"
    options = ("--modality", "automotive", "--variants", "large", "--models", "vgae,gat")
    chosen = ("--set=gat.network=deep_sets", "--set=pipeline.insert=after:graphs:class_balance")
    words = command(root, demo_csv, *options, *chosen, "--json")[1:]  # the first is the Python of the tests
    (report,) = json.loads(python(*words))
    assert {row["model"] for row in report["rows"]} == {"vgae", "gat"}
    (checkpoint,) = root.glob("demo/gat_large_*/*/checkpoint.json")
    assert json.loads(checkpoint.read_text())["config"]["gat"]["network"] == "deep_sets"
    told = {line.split()[0] for file in root.glob("demo/*/told.txt") for line in file.read_text().splitlines()}
    assert told == {"ingest", "graphs", "ClassBalance", "vgae", "gat", "evaluation"}
    assert [stage for stage, _ in executions(root)].count("ClassBalance") == 1

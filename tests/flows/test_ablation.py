"""One ablation, as a user runs it: one factor of two levels, one fold, one seed."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import TINY

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore


def test_an_ablation_trains_the_base_once_and_reports_the_effect_of_each_level(tmp_path):
    root = tmp_path / "root"
    write_demo(tmp_path / "raw" / "demo", seconds_scale=0.4)
    settings = {**TINY, "training.max_epochs": 1, "curriculum.windows_per_epoch": 64}
    options = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in settings.items()]
    options += ["--factors", "node_head", "--folds", "alpha", "--seeds", "1", "--json"]
    command = [sys.executable, "-m", "flows.cli", "ablate", "--root", str(root), "--data-dir", str(tmp_path / "raw"), *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    report = json.loads(result.stdout)
    assert [(row["level"], row["base"]) for row in report["rows"]] == [("on", True), ("off", False)]
    assert (report["folds"], report["seeds"], report["interval"]) == (["alpha"], [0], False)
    on, off = report["rows"]
    assert off["effect"]["f1"]["value"] == off["f1"]["mean"] - on["f1"]["mean"]
    assert {"report.md", "effects.png", "effects.svg"} <= {path.name for path in Path(report["path"]).iterdir()}
    counted = RunStore(root / "store").query("select stage, count(*) as n from runs where status = 'completed' group by 1")
    assert {row["stage"]: row["n"] for row in counted} == {
        "ingest": 1,
        "pool": 1,
        "balanced": 2,
        "ablation_score": 2,
        "ablation": 1,
    }

"""One protocol, as a user runs it: a fold, a seed, all detectors."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import TINY

from kdgat_models.can.simulate import write_demo


def kdgat(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", "evaluate", "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


def test_a_protocol_reports_every_detector_on_every_test_capture_and_says_what_was_trained_on_what(tmp_path):
    write_demo(tmp_path / "raw" / "demo", seconds_scale=0.4)
    settings = {**TINY, "training.max_epochs": 1, "curriculum.windows_per_epoch": 64}
    options = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in settings.items()]
    options += ["--protocol", "official", "--seeds", "1", "--json", "--data-dir", str(tmp_path / "raw")]
    result = kdgat(tmp_path / "root", *options)
    assert result.returncode == 0, result.stderr[-4000:]
    report = json.loads(result.stdout)
    (fold,) = report["folds"]
    assert not set(fold["train"]) & set(fold["test"])
    assert all("/train_0" in name for name in fold["train"])
    assert {row["detector"] for row in report["rows"]} == {
        *("teacher", "student", "vgae", "gat_reference", "boosting"),
        *("warm_up_rule", "id_entropy", "id_frequency"),
    }
    judged = {row["capture"] for row in report["captures"] if row["detector"] == "student"}
    assert judged == set(fold["test"])
    text = (Path(report["path"]) / "report.md").read_text()
    assert "nan" not in text.lower()
    assert "official, version 1" in text


def test_an_unknown_protocol_and_a_folder_without_datasets_are_refused_at_once(tmp_path):
    unknown = kdgat(tmp_path / "root", "--protocol", "leave-one-out")
    assert unknown.returncode == 1
    assert "leave-one-vehicle-out" in unknown.stderr
    empty = kdgat(tmp_path / "root", "--protocol", "official", "--data-dir", str(tmp_path))
    assert empty.returncode == 1
    assert "no dataset of the catalogue lies in" in empty.stderr

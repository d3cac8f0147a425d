"""`kdgat datasets check`: what is seen of a dataset, against files whose content is known."""

import json
import subprocess
import sys

import pytest

from config.errors import ConfigError
from config.paths import Paths
from tasks.plans.dataset_check import SeenFrame, look_at

HEADER = "timestamp,arbitration_id,data_field,attack\n"
NORMAL = HEADER + "0.5,1A0,0011,0\n0.6,7FF,,0\n0.7,2B0,FF,1\n0.8,2B0,FE,0\n"


@pytest.fixture
def folder(tmp_path):
    """A dataset of set_01 with two captures that are whole."""
    for split, name in (("train_01_attack_free", "accessory-1"), ("train_02_with_attacks", "DoS-1")):
        file = tmp_path / "set_01" / split / f"{name}.csv"
        file.parent.mkdir(parents=True)
        file.write_text(NORMAL)
    return tmp_path


def seen(folder, **options):
    return look_at("set_01", folder, Paths(folder / "root"), **options)


def test_captures_are_shown_with_reader_vehicle_attack_and_first_rows(folder):
    found = seen(folder, rows=3)
    assert found.usable
    first, second = found.captures
    assert (first.split, first.role, first.file) == ("train_01_attack_free", "train", "accessory-1.csv")
    assert (first.reader, first.vehicle, first.attack) == ("four_column_csv", "Chevrolet Impala", "none")
    assert (second.vehicle, second.attack) == (None, "DoS")
    assert first.rows == (
        SeenFrame(0.5, "1A0", 2, "0011", 0),
        SeenFrame(0.6, "7FF", 0, "", 0),
        SeenFrame(0.7, "2B0", 1, "ff", 1),
    )
    assert "test_05_suppress" in found.absent_splits
    assert not (folder / "root").exists(), "nothing is written"


def test_no_rows_are_shown_where_none_are_wanted(folder):
    assert [capture.rows for capture in seen(folder, rows=0).captures] == [(), ()]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.csv", "a,b\n1,2\n", "not a known capture format"),
        ("x.csv", "", "is empty"),
        ("x.csv", NORMAL + "0.9,ZZZ,00,0\n", "line 6: the arbitration ID is 'ZZZ'"),
        ("x.pdf", "x", "is not a capture"),
        ("x#1.csv", NORMAL, "a capture cannot be called"),
    ],
)
def test_what_would_stop_a_run_is_named_with_its_file(folder, name, content, problem):
    (folder / "set_01" / "train_01_attack_free" / name).write_text(content)
    found = seen(folder)
    assert not found.usable
    (wrong,) = [capture for capture in found.captures if capture.problem]
    assert wrong.file == name
    assert problem in wrong.problem


def test_folders_that_the_catalogue_does_not_know_are_named(folder):
    (folder / "set_01" / "test_o5_supress").mkdir()
    assert seen(folder).unknown_folders == ("test_o5_supress",)


def test_a_dataset_without_a_training_capture_is_not_usable(folder):
    for split in ("train_01_attack_free", "train_02_with_attacks"):
        for file in (folder / "set_01" / split).iterdir():
            file.unlink()
    assert seen(folder).problems == ("no training capture",)


def test_a_folder_without_the_dataset_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no split of set_01"):
        seen(tmp_path)


def kdgat(*arguments, root):
    command = [sys.executable, "-m", "flows.cli", *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_the_command_checks_a_dataset_of_ones_own(folder, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    entry = "{domain: automotive, source: s, licence: l, readers: [four_column_csv, typo], splits: {train_a: {role: train}}}"
    (root / "datasets.yaml").write_text(f"datasets: {{van: {entry}}}")
    file = tmp_path / "van" / "train_a" / "one.csv"
    file.parent.mkdir(parents=True)
    file.write_text(NORMAL)
    command = [sys.executable, "-m", "flows.cli", "datasets", "--root", str(root), "check", "van", "--data-dir", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert refused.returncode == 1
    assert "datasets.van.readers.1: unknown reader 'typo'; there are: four_column_csv" in refused.stderr
    (root / "datasets.yaml").write_text(f"datasets: {{van: {entry}}}".replace(", typo", ""))
    accepted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert accepted.returncode == 0, accepted.stderr
    assert "one.csv: 0.500000 s  1A0  [2] 0011  normal" in accepted.stdout
    listed = kdgat("datasets", "--json", root=root)
    assert {row["dataset"]: row["catalogue"] for row in json.loads(listed.stdout)}["van"] == str(root / "datasets.yaml")

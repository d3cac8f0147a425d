import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FLOWS = {f"flows/{name}.py": name for name in ("train_pipeline", "ingest_dataset", "evaluate_dataset")}


def kdgat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("verb", [[], ["run"], ["ingest"], ["evaluate"], ["datasets"], ["models"], ["leaderboard"]])
def test_every_command_explains_itself(verb):
    result = kdgat(*verb, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout


def test_datasets_and_models_are_listed_as_json():
    assert len(json.loads(kdgat("datasets", "--json").stdout)) == 7
    listed = json.loads(kdgat("models", "--json").stdout)
    assert len(listed["models"]) == 9
    fusions = {row["scale"]: row["architecture"]["hidden"] for row in listed["models"] if row["model"] == "fusion"}
    assert fusions == {"large": 576, "small": 160, "tiny": 160}
    assert listed["auxiliaries"] == ["kd_standard", "none"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--dataset", "hcrl"], "Did you mean hcrl_sa?"),
        (["run", "--set", "trainig.lr=1"], "did you mean training.lr?"),
        (["run", "--set", "training.lr=fast"], "training.lr = 'fast'"),
        (["run", "--dataset", "hcrl_sa"], "--data-dir"),
        (["run", "--models", "gta"], "there are: vgae, gat, fusion"),
        (["run", "--runner", "cloud"], "there are: local"),
        (["run", "--modality", "aerospace"], "modality"),
        (["run", "--distillation", "with-kd,with-kd,no-kd"], "no teacher for vgae"),
        (["evaluate"], "kdgat run --dataset demo --variants large"),
        (["ablate", "--factors", "poolin"], "there are: convolution"),
        (["ablate", "--factors", "pooling", "--set", "gat.pooling=max"], "leave pooling out of --factors"),
    ],
)
def test_a_wrong_request_is_one_message_and_starts_nothing(tmp_path, arguments, message):
    result = kdgat(*arguments, "--root", str(tmp_path / "root"))
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "root" / "store").exists()


def test_an_empty_data_folder_is_an_error_that_shows_the_layout(tmp_path):
    result = kdgat("run", "--dataset", "set_01", "--data-dir", str(tmp_path), "--root", str(tmp_path / "root"))
    assert result.returncode == 1
    assert "train_01_attack_free with .csv files" in result.stderr


def test_a_root_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    result = kdgat("run", "--root", str(tmp_path / "file" / "root"))
    assert result.returncode == 1
    assert "Choose another folder with --root" in result.stderr


def test_an_empty_leaderboard_says_what_to_run(tmp_path):
    assert "kdgat run" in kdgat("leaderboard", "--root", str(tmp_path)).stdout


READERS = [["leaderboard"], ["runs"], ["memory"], ["champion", "list"], ["champion", "remove", "demo", "large"], ["nightly"]]


@pytest.mark.parametrize("verb", READERS)
def test_reading_a_root_that_is_not_there_says_so_and_makes_nothing(tmp_path, verb):
    result = kdgat(*verb, "--root", str(tmp_path / "typo"))
    assert result.returncode == 1
    assert result.stderr.startswith(f"kdgat: there is nothing in {tmp_path / 'typo'}: no such folder.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", READERS[:4])
def test_reading_an_empty_root_makes_nothing(tmp_path, verb):
    assert kdgat(*verb, "--root", str(tmp_path)).returncode == 0
    assert not list(tmp_path.iterdir())


def one_message(result: subprocess.CompletedProcess[str]) -> str:
    """What the command said, which must be one short message."""
    assert result.returncode == 1, result.stderr
    lines = result.stderr.splitlines()
    assert lines[0].startswith("kdgat: ")
    assert not any(line.startswith("kdgat: ") for line in lines[1:])
    assert len(lines) <= 15
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("verb", [["leaderboard"], ["runs"], ["ingest"]])
def test_a_root_that_is_a_file_or_has_a_name_that_is_too_long_is_one_message(tmp_path, verb):
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in one_message(kdgat(*verb, "--root", str(file)))
    assert "too long" in one_message(kdgat(*verb, "--root", str(tmp_path / ("x" * 800))))


@pytest.mark.parametrize(("verb", "table"), [("leaderboard", "metrics"), ("runs", "runs")])
def test_a_file_where_the_run_store_should_have_a_folder_is_one_message(tmp_path, verb, table):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / table).write_text("")
    assert f"{tmp_path}/store/{table}" in one_message(kdgat(verb, "--root", str(tmp_path)))

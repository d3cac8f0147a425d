"""The whole pipeline, as a user runs it: the command in a process of its own, on real (simulated) traffic."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kill_moments import MOMENTS, SIGNALS, STAGES, completed, started_since
from pipeline_runs import await_nobody, command, executions, kdgat, one_message, start
from typer.testing import CliRunner

from flows.cli.main import app
from kdgat_models.bundle import load_bundle
from kdgat_models.can.simulate import write_demo
from kdgat_models.files import is_left, is_temporary
from kdgat_models.runs.store import RunStore


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    write_demo(folder, seconds_scale=0.4)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    """A root in which all three variants were run, and what the command printed."""
    root = tmp_path_factory.mktemp("finished")
    result = kdgat(root, data, "--json")
    assert result.returncode == 0, result.stderr[-4000:]
    return root, json.loads(result.stdout)


def test_all_variants_are_trained_evaluated_and_recorded(finished):
    root, reports = finished
    assert [report["variant"] for report in reports] == ["large", "small_kd", "small_nokd"]
    for report in reports:
        rows = report["rows"]
        assert {row["model"] for row in rows} == {"vgae", "gat", "fusion"}
        assert len({row["split"] for row in rows}) == 6
        assert {"all", "fuzzing", "spoofing"} <= {row["attack"] for row in rows}
    store = RunStore(root / "store")
    counted = store.query(
        "select stage, count(*) as n, min(peak_memory_mb) as peak from runs where status = 'completed' group by 1"
    )
    assert {row["stage"]: row["n"] for row in counted} == {
        "ingest": 1,
        "graphs": 1,
        "autoencoder": 3,
        "balanced": 3,
        "dqn": 3,
        "evaluation": 3,
    }
    assert all(row["peak"] > 50 for row in counted)
    assert store.query("select count(distinct run_id) as n from epochs") == [{"n": 9}]
    f1 = {
        row["model"]: row["f1"] for row in reports[0]["rows"] if row["split"].startswith("test_01") and row["attack"] == "all"
    }
    stored = store.query(
        "select model, value from metrics where variant='large' and name='f1' and attack='all' and split like 'test_01%'"
    )
    assert {row["model"]: row["value"] for row in stored} == f1


def test_each_run_keeps_its_config_checkpoint_and_provenance(finished):
    root, _ = finished
    folders = [mark.parent for mark in root.glob("demo/*_small_*_kd_standard/*/artifact.json")]
    assert len(folders) == 2
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        checkpoint = json.loads((folder / "checkpoint.json").read_text())
        assert checkpoint["config"] == config
        assert {"graphs", "teacher"} <= set(checkpoint["provenance"]["inputs"])
        thresholds = {"f1", "fpr_0.05", "fpr_0.01", "fpr_0.001", "normal_upper"}
        assert set(checkpoint["thresholds"]) == thresholds | ({"temperature"} if config["model_type"] == "gat" else set())
        assert not (folder / "last_epoch.safetensors").exists()


def test_mlflow_has_every_training_run_tagged_by_pipeline_run(finished):
    from mlflow import MlflowClient

    root, _ = finished
    client = MlflowClient(f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert len(runs) == 12
    assert len({run.data.tags["pipeline_run"] for run in runs}) == 1
    gat = next(run for run in runs if run.data.tags["stage"] == "balanced")
    assert gat.data.params["gat.hidden"] == "8"
    assert gat.data.metrics["validation.value"] > 0
    assert "model.safetensors" in {artifact.path for artifact in client.list_artifacts(gat.info.run_id)}


def test_each_student_is_left_as_a_bundle_that_detects_what_it_was_evaluated_on(finished, data):
    _, reports = finished
    assert [report["bundle"] is not None for report in reports] == [False, True, True]
    bundle = reports[1]["bundle"]
    capture = next((data / "test_01_known_vehicle_known_attack").glob("fuzzing-*.csv"))
    done = CliRunner().invoke(app, ["detect", str(capture), "--model", bundle, "--json"])
    assert done.exit_code == 1, done.output
    (found,) = json.loads(done.stdout)
    assert found["labels"]["true_attacks"] > 3 * (found["labels"]["missed"] + found["labels"]["false_alarms"])
    sheet = load_bundle(Path(bundle)).about.data_sheet
    assert sheet["trained_on"] == "demo"


def test_a_bundle_is_made_of_an_evaluation_a_model_or_the_newest_of_a_dataset(finished, tmp_path):
    root, reports = finished

    def bundled(*arguments):
        target = tmp_path / f"{len(list(tmp_path.iterdir()))}.kdgat"
        done = CliRunner().invoke(app, ["bundle", *arguments, "-o", str(target), "--json"])
        return load_bundle(target).about if done.exit_code == 0 else done

    of_evaluation = bundled(reports[1]["path"])
    assert of_evaluation.models == ("gat",)
    assert {row["variant"] for row in of_evaluation.data_sheet["metrics"]} == {"small_kd"}
    of_all = bundled("--dataset", "demo", "--variant", "small_kd", "--root", str(root), "--models", "vgae,gat,fusion")
    assert of_all.models == ("vgae", "gat", "fusion")
    vgae = next(root.glob("demo/vgae_small_autoencoder*/*/checkpoint.json")).parent
    assert bundled(str(vgae)).models == ("vgae",)
    assert "has no gat" in str(bundled(str(vgae), "--models", "gat").exception)
    assert "a fusion needs the models" in str(bundled(reports[1]["path"], "--models", "fusion").exception)
    assert "give one of" in str(bundled().exception)
    assert "no run folder of an evaluation" in str(bundled(str(tmp_path)).exception)


def test_a_second_identical_run_executes_nothing_and_says_the_same(finished, data):
    root, reports = finished
    before = executions(root)
    again = kdgat(root, data, "--json")
    assert executions(root) == before
    assert json.loads(again.stdout) == reports


def test_a_change_of_gat_leaves_the_autoencoder_and_the_graphs_untouched(finished, data):
    root, _ = finished
    before = executions(root)
    result = kdgat(root, data, "--variants", "large", "--set", "gat.dropout=0.3")
    assert result.returncode == 0, result.stderr[-3000:]
    assert [stage for stage, _ in executions(root)[len(before) :]] == ["balanced", "dqn", "evaluation"]


def test_the_leaderboard_and_evaluate_read_what_was_trained(finished, data):
    root, reports = finished
    board = subprocess.run(
        [sys.executable, "-m", "flows.cli", "leaderboard", "--root", str(root), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(board.stdout)
    assert {row["split"] for row in rows} == {row["split"] for row in reports[0]["rows"]}
    before = executions(root)
    evaluated = kdgat(root, data, "--variants", "small_kd", "--json", verb="evaluate")
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    assert json.loads(evaluated.stdout)[0]["rows"] == reports[1]["rows"]
    assert executions(root) == before


class Killed(NamedTuple):
    """A root in which a run was ended again and again, and then let through."""

    root: Path
    metrics: list[dict[str, Any]]
    terminated: dict[str, tuple[int, str, float]]  # by the moment: exit code, standard error, seconds
    completed_again: list[str]  # stages that were started although they had been completed


@pytest.fixture(scope="module")
def killed(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("killed")
    words = command(root, data, "--variants", "large")
    terminated, again, done = {}, [], set()
    for number, (moment, reached) in enumerate(MOMENTS.items()):
        for told, code in SIGNALS.items():
            run = start(words, root)
            run.await_moment(reached, moment)
            ended = run.end(told, whole_group=bool(number % 2))
            assert ended[0] == code, f"{moment}: {ended}"
            await_nobody(root)
            if told == signal.SIGTERM:
                terminated[moment] = ended
            again += [stage for stage in started_since(root, run.since) if stage in done]
            done = completed(root)
    last = time.time()
    result = kdgat(root, data, "--variants", "large", "--json")
    assert result.returncode == 0, result.stderr[-3000:]
    again += [stage for stage in started_since(root, last) if stage in done]
    await_nobody(root)
    return Killed(root, json.loads(result.stdout), terminated, again)


LONG = pytest.mark.timeout(3600)  # seventeen runs: six minutes on two idle cores


@LONG
def test_runs_that_are_killed_end_with_the_metrics_of_an_undisturbed_one(killed, finished):
    (disturbed,), (undisturbed, *_) = killed.metrics, finished[1]
    assert disturbed["rows"] == undisturbed["rows"]


@LONG
def test_no_stage_that_was_finished_is_repeated_after_a_kill(killed):
    assert killed.completed_again == []
    counted = RunStore(killed.root / "store").query(
        "select stage, count(*) as n from attempts where status='completed' group by 1"
    )
    assert {row["stage"]: row["n"] for row in counted} == dict.fromkeys(STAGES, 1)


@LONG
def test_a_run_that_is_told_to_end_says_so_in_one_message(killed):
    assert killed.terminated.keys() == MOMENTS.keys()
    for code, errors, _ in killed.terminated.values():
        assert code == 143
        assert "run the same command again to go on" in one_message(errors, lines=100)


@LONG
def test_nothing_is_left_of_killed_runs_once_another_has_gone_through(killed):
    files = [path for path in killed.root.rglob("*") if path.is_file()]
    assert [path for path in files if is_temporary(path) and "prefect" not in path.parts] == []
    assert [path for path in files if path.name.startswith(".started-") or path.name == "alive.lock"] == []
    assert [path for run in (killed.root / "runs").glob("*") for path in run.iterdir() if path.name in ("dask", "tls")] == []
    locks = [path for path in files if path.suffix == ".lock" and path.is_relative_to(killed.root / "cache")]
    assert locks
    assert all(is_left(lock) for lock in locks), "nobody holds them"
    assert RunStore(killed.root / "store").query("select * from attempts where status = 'running'") == []


@pytest.mark.parametrize(
    ("number", "code", "moment"),
    [(signal.SIGINT, 130, "graphs"), (signal.SIGHUP, 129, "the start of Prefect's server")],
)
def test_ctrl_c_and_a_closed_terminal_end_everything_soon_and_say_how_to_go_on(tmp_path, data, number, code, moment):
    root = tmp_path / "root"
    run = start(command(root, data, "--variants", "large"), root)
    run.await_moment(MOMENTS[moment], moment)
    ended, errors, _ = run.end(number, whole_group=True)
    assert ended == code
    assert "run the same command again to go on" in one_message(errors, lines=100)
    await_nobody(root)


def test_a_lost_artifact_is_made_again(killed, data):
    root = killed.root
    import shutil

    before = executions(root)
    shutil.rmtree(next(root.glob("demo/vgae_large_autoencoder/*")))
    assert kdgat(root, data, "--variants", "large").returncode == 0
    assert [stage for stage, _ in executions(root)[len(before) :]] == ["autoencoder"]


def test_a_bad_capture_is_one_message_with_file_and_line_and_quarantine_goes_on(tmp_path, data):
    import shutil

    folder = tmp_path / "raw"
    shutil.copytree(data, folder)
    capture = folder / "train_01_attack_free" / "attack-free-alpha.csv"
    lines = capture.read_text().splitlines(keepends=True)
    lines.insert(5, "1.0,xyz,00,0\n")
    capture.write_text("".join(lines))
    result = kdgat(tmp_path / "root", folder, verb="ingest")
    assert result.returncode == 1
    assert any(line.startswith("kdgat: ") for line in result.stderr.splitlines())
    assert "attack-free-alpha.csv line 6: the arbitration ID is 'xyz'" in result.stderr
    quarantined = kdgat(tmp_path / "root", folder, "--on-bad-rows", "quarantine", "--json", verb="ingest")
    assert quarantined.returncode == 0, quarantined.stderr[-3000:]
    made = json.loads(quarantined.stdout)
    assert made[0]["rejected_rows"] == 1
    assert len(list(Path(made[0]["path"]).glob("*/attack-free-alpha.rejected.csv"))) == 1

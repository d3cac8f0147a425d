"""The nightly re-evaluation and what stands around it, as a user runs it, on a pipeline that was really trained."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import TINY

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root with a champion, and the folder of its captures."""
    root, data = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("data") / "demo"
    write_demo(data, seconds_scale=0.3)
    settings = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in TINY.items()]
    done = kdgat(root, "run", "--data-dir", str(data), "--variants", "large", "--register", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return root, data, settings


def kdgat(root, *arguments):
    command = [sys.executable, "-m", "flows.cli", *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def prefect(root, code):
    """Run Python as a user of Prefect's would, on the state below the root."""
    environment = os.environ | {
        "PREFECT_HOME": str(root / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200, env=environment, capture_output=True)


@contextmanager
def listening():
    """An HTTP server that keeps what it is sent."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *args):  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_nights_are_compared_and_the_same_night_twice_adds_nothing(trained):
    root, _, _ = trained
    for night in ("2026-01-01", "2026-01-02"):
        done = kdgat(root, "nightly", "--night", night)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "No champion is worse than it was." in done.stdout
    rows = "select * exclude (written_at) from nights order by all"
    before = RunStore(root / "store").query(rows)
    files = sorted(file.name for file in (root / "store").glob("*/*.parquet"))
    assert kdgat(root, "nightly", "--night", "2026-01-02").returncode == 0
    assert sorted(file.name for file in (root / "store").glob("*/*.parquet")) == files
    assert RunStore(root / "store").query(rows) == before
    second = [row for row in before if row["night"] == "2026-01-02" and row["model"] != "input"]
    assert second
    assert all(row["value"] == row["last_night"] == row["at_registration"] for row in second)
    drift = {row["metric"] for row in before if row["model"] == "input"}
    assert {"new_ids", "psi:early_mean", "psi:age"} <= drift
    board = json.loads(kdgat(root, "leaderboard", "--json").stdout)
    assert {row["variant"] for row in board} == {"large"}, "nights are no competitors of what was trained"


def test_a_regression_fails_with_model_split_metric_and_amount_and_new_captures_count(trained):
    root, data, _ = trained
    added = data / "test_01_known_vehicle_known_attack" / "masquerade-new.csv"
    shutil.copy(next((data / "test_06_masquerade").glob("*.csv")), added)
    try:
        with listening() as (port, heard):
            block = f"Webhook(url='http://127.0.0.1:{port}/', allow_private_urls=True).save('ops', overwrite=True)"
            prefect(root, f"from prefect.blocks.webhook import Webhook; {block}")
            done = kdgat(root, "nightly", "--night", "2026-01-03", "--tolerance", "0.001", "--notify", "webhook/ops")
        assert done.returncode == 1
        assert "(worse by 0." in json.loads(heard[0])["text"]
        message = next(line for line in done.stderr.splitlines() if line.startswith("kdgat: "))
        assert "demo/large: " in message
        assert " on demo test_01_known_vehicle_known_attack: " in message
        assert "(worse by 0." in message
    finally:
        added.unlink()


def test_an_offline_dataset_is_reported_and_hides_no_other_whose_ids_the_champion_does_not_know(trained, tmp_path):
    root, data, _ = trained
    write_demo(tmp_path / "set_01", seed=5, seconds_scale=0.3)
    shutil.copytree(data, tmp_path / "demo")
    chosen = ["--data-dir", str(tmp_path), "--datasets", "demo,set_01,set_02", "--tolerance", "0.9"]
    done = kdgat(root, "nightly", "--night", "2026-01-04", *chosen)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "set_02 is offline tonight" in " ".join(done.stdout.split())
    rows = RunStore(root / "store").query("select distinct dataset from nights where night = '2026-01-04' order by 1")
    assert rows == [{"dataset": "demo"}, {"dataset": "set_01"}]


def test_without_champions_there_is_nothing_to_do_and_the_message_says_what_is(tmp_path):
    done = kdgat(tmp_path, "nightly")
    assert done.returncode == 1
    assert done.stderr.strip() == "kdgat: no champion is registered; do so with `kdgat champion register DATASET VARIANT`"


def test_champions_are_listed_registered_and_removed(trained):
    root, _, _ = trained
    assert [row["champion"] for row in json.loads(kdgat(root, "champion", "list", "--json").stdout)] == ["demo/large"]
    assert "demo has no evaluated small_kd" in kdgat(root, "champion", "register", "demo", "small_kd").stderr
    assert kdgat(root, "champion", "remove", "demo", "large").returncode == 0
    assert "is no champion" in kdgat(root, "champion", "remove", "demo", "large").stderr
    assert kdgat(root, "champion", "register", "demo", "large").returncode == 0


def test_a_dry_run_says_what_is_cached_what_memory_is_asked_for_and_shows_the_job_script(trained):
    root, data, settings = trained
    asked = ["run", "--data-dir", str(data), "--variants", "large", *settings, "--dry-run", "--json"]
    before = sorted((root / "store").glob("*/*"))
    everything = json.loads(kdgat(root, *asked).stdout)
    assert [stage["cached"] for stage in everything["stages"]] == [True] * 6
    assert everything["jobs"] == []
    changed = json.loads(kdgat(root, *asked, "--set", "gat.dropout=0.4", "--runner", "slurm:v100").stdout)
    assert {stage["stage"]: stage["cached"] for stage in changed["stages"]} == {
        "ingest": True,
        "graphs": True,
        "vgae": True,
        "gat": False,
        "fusion": False,
        "evaluation": False,
    }
    gat = next(stage for stage in changed["stages"] if stage["stage"] == "gat")
    assert gat["why"] == "learnt from earlier runs"
    assert 300 < gat["memory_mb"] < 2000
    gpu, cpu = changed["jobs"]
    assert (gpu["processor"], gpu["stages"], cpu["stages"]) == ("gpu", 1, 2)
    assert gpu["gpu_hours_limit"] == 8
    assert gpu["gpu_hours"] < 0.1
    assert "#SBATCH --gres=gpu:v100:1" in gpu["script"]
    assert "#SBATCH --gres" not in cpu["script"]
    assert sorted((root / "store").glob("*/*")) == before


def test_memory_and_runs_show_what_was_learnt_and_what_was_tried(trained):
    root, _, _ = trained
    memory = json.loads(kdgat(root, "memory", "--json").stdout)
    vgae = next(row for row in memory if row["stage"] == "vgae")
    assert (vgae["attempts"], vgae["out_of_memory"], vgae["factor"]) == (1, 0, 0.87)
    assert vgae["next_request_mb"] > vgae["peak_mb"] > 200
    runs = json.loads(kdgat(root, "runs", "--json", "--last", "100").stdout)
    assert {row["reason"] for row in runs} == {"completed"}
    assert all(row["asked_mb"] and row["peak_mb"] and row["host"] for row in runs)

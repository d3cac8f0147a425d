"""`kdgat detect` and `kdgat learn`, as people type them."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import can
import pytest
from opened import loaded
from relative_cases import simulated
from typer.testing import CliRunner

from flows.cli.main import app
from kdgat_models.bundle import AboutBundle, save_bundle
from kdgat_models.decision import Decision

CHECKOUT = Path(__file__).resolve().parents[2]
NEVER, ALWAYS = 1e9, -1e9


def bundle(folder: Path, threshold: float) -> Path:
    """A model that flags every window, or none."""
    checkpoint = loaded("gat").checkpoint._replace(decision=Decision({"f1": threshold}, 1.0, threshold))
    about = AboutBundle(name="test", made=datetime(2026, 1, 1, tzinfo=UTC), rule="f1", models=("gat",))
    return save_bundle(folder / f"{threshold:g}.kdgat", about, {"gat": checkpoint})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"never": str(bundle(folder, NEVER)), "always": str(bundle(folder, ALWAYS))}


def messages(seconds=2.0, vehicle=3, channel="can0"):
    frames = simulated(vehicle, None, seconds=seconds)
    for time_, identifier, dlc, payload in zip(*frames[:4], strict=True):
        yield can.Message(
            timestamp=1.7e9 + time_,
            arbitration_id=int(identifier),
            is_extended_id=bool(identifier > 0x7FF),
            data=bytes(payload[:dlc]),
            channel=channel,
        )


def write(path: Path, *drives) -> Path:
    """A recording in the format of its suffix."""
    with can.Logger(path) as logger:
        for message in sorted((m for drive in drives for m in drive), key=lambda m: m.timestamp):
            logger.on_message_received(message)
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write(tmp_path_factory.mktemp("logs") / "drive.log", messages())


def kdgat(*arguments, **options):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def test_a_recording_is_clean_or_has_episodes_and_the_exit_code_says_so(models, log):
    clean, alarms = (kdgat("detect", log, "--model", models[kind]) for kind in ("never", "always"))
    assert (clean.exit_code, alarms.exit_code) == (0, 1)
    assert clean.stdout.startswith(f"{log} (can0): clean; ")
    assert alarms.stdout.startswith(f"{log} (can0): 1 episode; ")
    assert "0.000 s to 1.9" in alarms.stdout.splitlines()[1]
    assert "% sure: 0x" in alarms.stdout.splitlines()[1]


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc"])
def test_logs_of_other_tools_give_the_verdicts_of_the_same_traffic(models, log, tmp_path, suffix):
    other = write(tmp_path / f"drive{suffix}", messages(channel=1))
    found, expected = (json.loads(kdgat("detect", path, "--model", models["always"], "--json").stdout) for path in (other, log))
    for field in ("verdict", "frames", "ids", "windows", "attack_windows"):
        assert found[0][field] == expected[0][field], field
    assert found[0]["format"] == suffix[1:]
    assert [a["first_frame"] for a in found[0]["alarms"]] == [a["first_frame"] for a in expected[0]["alarms"]]


def test_each_bus_of_a_recording_has_a_verdict_of_its_own(models, tmp_path):
    two = write(tmp_path / "two.log", messages(channel="can0"), messages(vehicle=8, channel="can1"))
    found = json.loads(kdgat("detect", two, "--model", models["never"], "--json").stdout)
    assert [row["bus"] for row in found] == ["can0", "can1"]
    assert {row["verdict"] for row in found} == {"clean"}
    alone = write(tmp_path / "one.log", messages(vehicle=8))
    assert json.loads(kdgat("detect", alone, "--model", models["never"], "--json").stdout)[0]["frames"] == found[1]["frames"]


def test_folders_and_patterns_are_searched_and_what_cannot_be_read_stops_nothing(models, log, tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "b.log", messages())
    (tmp_path / "a.txt").write_text("no recording\n")
    (tmp_path / "empty.log").write_text("")
    done = kdgat("detect", tmp_path, "--model", models["never"])
    assert done.exit_code == 2
    assert "sub/b.log (can0): clean" in done.stdout
    errors = done.stderr.splitlines()
    assert any("a.txt line 1 is 'no recording': not a known capture format" in line for line in errors)
    assert any("empty.log is empty" in line for line in errors)
    assert kdgat("detect", str(tmp_path / "sub" / "*.log"), "--model", models["never"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.log"], "nothing.log: there is no such file"),
        (["*.nothing"], "*.nothing: there is no such file"),
        ([".", "--adapt", "soon"], "--adapt 'soon' is no time"),
        ([".", "--adapt", "0s"], "expected a number above 0 and a unit"),
    ],
)
def test_wrong_arguments_are_one_message_and_exit_code_2(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.log").write_text("(1.0) can0 123#00\n")
    done = kdgat("detect", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_model_that_is_none_is_refused_with_what_there_is(log, tmp_path):
    (tmp_path / "torn.kdgat").write_bytes(b"PK\3\4 torn")
    done = kdgat("detect", log, "--model", tmp_path / "torn.kdgat")
    assert done.exit_code == 2
    assert "is no bundle, or is torn" in done.stderr
    assert "there is no model 'unknown'" in kdgat("detect", log, "--model", "unknown").stderr


def test_fifty_frames_are_not_judged_and_that_is_no_clean_bill(models, tmp_path):
    lines = "".join(f"(1.500) can0 123#{i:02X}\n" for i in range(50))
    (tmp_path / "short.log").write_text(lines)
    done = kdgat("detect", tmp_path / "short.log", "--model", models["always"])
    assert done.exit_code == 2
    assert "not judged" in done.stdout
    assert "50 frames are fewer than a window of 100" in done.stdout
    assert "tell no time" not in done.stdout


def test_can_fd_and_29_bit_ids_and_errors_are_counted_and_said(models, tmp_path):
    lines = [f"({1 + i / 100:.3f}) can0 1FFFFF{i % 5:02X}##1{i % 256:02X}{'00' * 11}\n" for i in range(250)]
    lines[20] = "(1.200) can0 20000080#0000000000000000\n"
    (tmp_path / "fd.log").write_text("".join(lines))
    done = kdgat("detect", tmp_path / "fd.log", "--model", models["never"])
    assert "note: 249 of 249 frames are of CAN FD" in done.stdout
    assert "error" in done.stdout
    (row,) = json.loads(kdgat("detect", tmp_path / "fd.log", "--model", models["never"], "--json").stdout)
    assert (row["recording_counts"]["fd_frames"], row["recording_counts"]["extended_frames"]) == (249, 249)


def test_labels_in_a_recording_are_compared_with_the_verdicts(models, tmp_path):
    frames = simulated(3, "DoS", seconds=3)
    rows = zip(*frames, strict=True)
    lines = [f"{t:.6f},{i:03X},{bytes(data[:dlc]).hex()},{label}\n" for t, i, dlc, data, label in rows]
    (tmp_path / "x.csv").write_text("timestamp,arbitration_id,data_field,attack\n" + "".join(lines))
    done = kdgat("detect", tmp_path / "x.csv", "--model", models["always"])
    assert "by the labels: " in done.stdout
    assert "attack episodes: 1 of 1 found, median time to detection" in done.stdout
    (row,) = json.loads(kdgat("detect", tmp_path / "x.csv", "--model", models["never"], "--json").stdout)
    assert row["labels"]["missed"] > 0
    assert row["labels"]["false_alarms"] == 0
    assert row["labels"]["events"]["episodes_detected"] == 0


def test_csv_has_a_row_for_each_alarm(models, log):
    header, row = kdgat("detect", log, "--model", models["always"], "--csv").stdout.splitlines()
    assert header.startswith("recording,bus,number,begin,end,detected,time,")
    assert row.startswith(f"{log},can0,1,0.0,")


def running(models, kind):
    command = [sys.executable, "-m", "flows.cli", "detect", "-", "--model", models[kind]]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, cwd=CHECKOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def test_standard_input_that_never_ends_raises_its_alarm_as_it_comes(models, log):
    with running(models, "always") as process:
        process.stdin.write(log.read_text())
        process.stdin.flush()
        raised = process.stdout.readline()
        assert raised.startswith("ALARM can0 at 17000000")
        assert process.poll() is None  # it waits for more
        process.stdin.write("(1700000002.5) can0 12")  # it ends in the middle of a line
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait() == 1
    assert "standard input (can0): 1 episode" in rest
    assert "1 rows are no frames and were left out" in rest
    assert "truncated" in rest


def test_a_profile_is_learnt_and_used_and_one_of_another_vehicle_is_noticed(models, tmp_path):
    drive = write(tmp_path / "normal.log", messages(seconds=20))
    done = kdgat("learn", drive, "-o", tmp_path / "car.profile", "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["seconds"] > 19
    fits = kdgat(
        "detect", write(tmp_path / "next.log", messages(7.0)), "--model", models["never"], "--profile", made["profile"]
    )
    assert (fits.exit_code, "another vehicle" in fits.stdout) == (0, False)
    other = write(tmp_path / "other.log", messages(7.0, vehicle=8))
    said = kdgat("detect", other, "--model", models["never"], "--profile", made["profile"]).stdout
    assert "note: the profile looks like one of another vehicle" in said
    again = kdgat("learn", drive, "-o", tmp_path / "car.profile", "--refresh", tmp_path / "car.profile", "--json")
    assert json.loads(again.stdout)["frames"] > made["frames"]
    both = kdgat("learn", drive, "-o", tmp_path / "both.profile", "--merge", tmp_path / "car.profile")
    assert both.exit_code == 0
    strange = kdgat("learn", other, "-o", tmp_path / "x.profile")
    assert strange.exit_code == 1
    assert "s of traffic are too few to know a vehicle by" in str(strange.exception)


def test_an_attacked_drive_is_noticed_when_a_profile_is_learnt_of_it(models, tmp_path):
    drive = write(tmp_path / "normal.log", messages(seconds=20))
    done = kdgat("learn", drive, "-o", tmp_path / "car.profile", "--model", models["always"])
    assert "normal.log looks attacked: 100.0% of its windows are flagged" in done.stderr
    used = kdgat("detect", drive, "--model", models["never"], "--profile", tmp_path / "car.profile")
    assert "the profile says of itself: normal.log looks attacked" in used.stdout


def test_a_recording_of_two_buses_needs_to_be_told_which_one_to_learn(tmp_path):
    two = write(tmp_path / "two.log", messages(12, channel="can0"), messages(12, vehicle=8, channel="can1"))
    refused = kdgat("learn", two, "-o", tmp_path / "x.profile")
    assert "choose one with --channel" in str(refused.exception)
    one, other = (kdgat("learn", two, "-o", tmp_path / f"{c}.profile", "--channel", c, "--json") for c in ("can0", "can1"))
    assert json.loads(one.stdout)["frames"] != json.loads(other.stdout)["frames"]
    missing = kdgat("learn", two, "-o", tmp_path / "x.profile", "--channel", "can7")
    assert "has no frame of can7; it has: can0, can1" in str(missing.exception)


def test_new_ids_are_refused_before_anything_is_read(tmp_path):
    (tmp_path / "x.log").write_text("no recording")
    done = kdgat("learn", tmp_path / "x.log", "-o", tmp_path / "x.profile", "--new-ids")
    assert "--new-ids is for --refresh" in str(done.exception)


def test_a_recording_without_a_clock_is_not_judged_with_a_profile_and_the_rest_goes_on(models, tmp_path):
    profile = tmp_path / "car.profile"
    assert kdgat("learn", write(tmp_path / "normal.log", messages(seconds=12)), "-o", profile).exit_code == 0
    rows = "".join(f"{i % 40:03X},{i % 256:02X},0\n" for i in range(300))
    (tmp_path / "a.csv").write_text("arbitration_id,data_field,attack\n" + rows)
    done = kdgat("detect", tmp_path / "a.csv", tmp_path / "normal.log", "--model", models["never"], "--profile", profile)
    assert done.exit_code == 2
    assert "the timestamps tell no time, and what was learnt of the vehicle is in seconds" in done.stderr
    assert "normal.log (can0): clean" in done.stdout

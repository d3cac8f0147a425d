"""`kdgat run` with stages that somebody wrote, stages that are skipped, and hooks."""

import json
import os
from pathlib import Path

import pytest
from pipeline_runs import kdgat, one_message

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore

INSERT = "--set=pipeline.insert=after:graphs:own_stages:WindowCount"
SKIP = "--set=pipeline.skip=gat,fusion"
HOOKS = "--set=hooks=own_stages:everything,own_stages:fails"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    write_demo(folder / "demo", seconds_scale=0.25)
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory, data):
    """A run of the autoencoder alone, behind a check, with hooks: its root, its errors, and what the hooks were told."""
    root, log = tmp_path_factory.mktemp("own") / "root", tmp_path_factory.mktemp("log") / "hooks"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("KDGAT_HOOK_LOG", str(log))
        done = kdgat(root, data, "--variants", "large", INSERT, SKIP, HOOKS, "--json")
        assert done.returncode == 0, done.stderr
        yield root, done, [tuple(json.loads(line)) for line in log.read_text().splitlines()]


def planned(root, data, *more):
    """Stage -> whether a dry run finds it cached."""
    done = kdgat(root, data, "--variants", "large", *more, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    return {stage["stage"]: stage["cached"] for stage in json.loads(done.stdout)["stages"]}


def test_the_run_store_has_the_inserted_stage_and_none_that_was_skipped(ran):
    root, done, _ = ran
    rows = RunStore(root / "store").query("select stage, status from attempts order by started_at")
    assert [row["stage"] for row in rows] == ["ingest", "graphs", "WindowCount", "autoencoder", "evaluation"]
    assert {row["status"] for row in rows} == {"completed"}
    assert {row["model"] for row in json.loads(done.stdout)[0]["rows"]} == {"vgae"}


def test_hooks_are_told_in_order_and_one_that_fails_costs_a_warning(ran):
    _, done, told = ran
    stages = ["ingest", "graphs", "WindowCount", "vgae", "evaluation"]
    assert [event for event in told if event[0] != "AfterEpoch"] == [
        ("BeforePipeline", None),
        *((event, stage) for stage in stages for event in ("BeforeStage", "AfterStage")),
        ("AfterPipeline", None),
    ]
    assert told.count(("AfterEpoch", "vgae")) == 3
    assert done.stderr.count("the hook own_stages:fails failed: ValueError: out of ink") == len(stages)


def test_the_dry_run_shows_what_was_inserted_and_skipped_and_finds_it_all_cached(ran, data):
    root, *_ = ran
    assert planned(root, data, INSERT, SKIP) == dict.fromkeys(["ingest", "graphs", "WindowCount", "vgae", "evaluation"], True)


def test_what_stands_behind_an_inserted_stage_has_another_cache_key(ran, data):
    root, *_ = ran
    without = planned(root, data, SKIP)
    assert without == {"ingest": True, "graphs": True, "vgae": False, "evaluation": False}


def test_a_check_that_fails_ends_what_stands_behind_it(ran, data):
    root, *_ = ran
    done = kdgat(root, data, "--variants", "large", SKIP, "--set=pipeline.insert=after:graphs:own_stages:TooFew")
    assert done.returncode == 1
    assert one_message(done.stderr).startswith("kdgat: TooFew demo: there are too few windows")
    assert RunStore(root / "store").query("select count(*) n from attempts where stage = 'autoencoder'")[0]["n"] == 1


def test_what_misses_an_input_is_said_before_anything_runs(tmp_path, data):
    done = kdgat(tmp_path / "root", data, "--set=pipeline.skip=vgae")
    assert done.returncode == 1
    assert "fusion misses its input vgae: vgae, which makes it, is skipped" in one_message(done.stderr)
    assert not (tmp_path / "root" / "demo").exists()

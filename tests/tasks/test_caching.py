import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import tiny

from tasks import caching
from tasks.artifact import Artifact
from tasks.caching import cache_key, code_version
from tasks.execution.cache import KernelLockManager
from tasks.stages.table import STAGES

GRAPHS = Artifact(kind="graphs", path="/somewhere", digest="d1")


def key(stage, model="vgae", **overrides):
    return cache_key(STAGES[stage], tiny(model, **overrides), {"graphs": GRAPHS})


def test_a_change_of_gat_touches_the_gat_alone():
    changed = {stage for stage in STAGES if key(stage) != key(stage, **{"gat.dropout": 0.5})}
    assert changed == {"gat"}


@pytest.mark.parametrize(
    ("setting", "stages"),
    [
        ({"preprocessing.stride": 50}, {"graphs", "pool", "protocol"}),
        ({"vgae.dropout": 0.5}, {"vgae"}),
        ({"training.lr": 0.5}, {"vgae", "gat", "fusion"}),
        ({"curriculum.ratio_end": 3}, {"vgae", "gat"}),
        ({"fusion.method": "mlp"}, {"fusion"}),
        ({"seed": 9}, {"vgae", "gat", "fusion", "trial", "ablation_score"}),
        ({"resources.memory_gb.gat": 9}, set()),
    ],
)
def test_a_change_touches_the_stages_that_read_it_and_no_others(setting, stages):
    assert {stage for stage in STAGES if key(stage) != key(stage, **setting)} == stages


def test_inputs_count_by_their_content_not_by_their_place():
    config = tiny()
    moved, other = GRAPHS.model_copy(update={"path": "/elsewhere"}), GRAPHS.model_copy(update={"digest": "d2"})
    assert cache_key(STAGES["vgae"], config, {"graphs": GRAPHS}) == cache_key(STAGES["vgae"], config, {"graphs": moved})
    assert cache_key(STAGES["vgae"], config, {"graphs": GRAPHS}) != cache_key(STAGES["vgae"], config, {"graphs": other})


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for package in ("kdgat_models", "tasks", "config", "flows"):
        shutil.copytree(caching.CHECKOUT / package, tmp_path / package)
    monkeypatch.setattr(caching, "CHECKOUT", tmp_path)
    caching.sources.cache_clear()
    yield tmp_path
    caching.sources.cache_clear()


# Stage -> a module whose change must count for it, and one whose change must not.
CODE = {
    "ingest": ("can/readers/hcrl_csv.py", "graphs/build.py"),
    "graphs": ("can/injection.py", "can/readers/hcrl_csv.py"),
    "vgae": ("networks/vgae.py", "fusion/dqn.py"),
    "gat": ("training/curriculum.py", "fusion/features.py"),
    "fusion": ("fusion/inputs.py", "can/readers/hcrl_csv.py"),
    "evaluation": ("evaluation/metrics.py", "training/gat.py"),
    "drift": ("evaluation/nightly/drift.py", "networks/gat.py"),
    "pool": ("evaluation/protocols/vehicles.py", "can/readers/hcrl_csv.py"),
    "trial": ("extraction/gat.py", "evaluation/metrics.py"),
    "protocol": ("evaluation/bootstrap.py", "training/losses.py"),
    "ablation_score": ("evaluation/metrics.py", "evaluation/bootstrap.py"),
    "ablation": ("evaluation/ablation/effects.py", "graphs/store.py"),
}


def stages_that_change(checkout, file):
    """Stages whose code is another one once `file` is."""
    before = {stage: code_version(STAGES[stage]) for stage in STAGES}
    with (checkout / file).open("a") as source:
        source.write("\n# changed\n")
    caching.sources.cache_clear()
    return {stage for stage in STAGES if code_version(STAGES[stage]) != before[stage]}


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_of_code_counts_for_the_stages_that_it_can_touch(checkout, stage):
    read, unread = CODE[stage]
    assert stage in stages_that_change(checkout, f"kdgat_models/{read}")
    caching.sources.cache_clear()
    assert stage not in stages_that_change(checkout, f"kdgat_models/{unread}")


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("kdgat_models/fusion/weighted_avg.py", {"fusion", "evaluation", "trial", "ablation_score"}),
        ("kdgat_models/can/readers/hcrl_csv.py", {"ingest"}),
        ("kdgat_models/can/simulate.py", set()),
        ("config/catalog.py", {"ingest", "graphs", "pool"}),
        ("flows/cli/main.py", set()),
    ],
)
def test_a_change_of_code_counts_for_no_other_stage(checkout, file, stages):
    assert stages_that_change(checkout, file) == stages


def test_stages_that_are_submitted_side_by_side_read_their_code_at_once():
    """The parser of Python 3.11 fails if a garbage collection lets another thread parse (gh-106905)."""

    def let_others_run(phase, info):
        time.sleep(1e-4)

    thresholds = gc.get_threshold()
    source = (caching.CHECKOUT / "tasks" / "caching.py").read_text()
    gc.callbacks.append(let_others_run)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(2) as pool:
            first, *others = pool.map(caching._imports, [source + "\n" * number for number in range(6)])
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_others_run)
    assert "kdgat_models.files" in first
    assert all(other == first for other in others)


def test_a_lock_is_held_by_one_and_freed_by_its_holder_only(tmp_path):
    first, second = KernelLockManager(tmp_path), KernelLockManager(tmp_path)
    assert first.acquire_lock("k", "a")
    assert first.acquire_lock("k", "a")
    assert second.is_locked("k")
    assert not second.acquire_lock("k", "b", acquire_timeout=0.05)
    with pytest.raises(ValueError, match="does not hold"):
        second.release_lock("k", "b")
    first.release_lock("k", "a")
    assert not second.is_locked("k")
    assert second.acquire_lock("k", "b", acquire_timeout=1)


def test_a_killed_process_leaves_no_lock_behind(tmp_path):
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from tasks.execution.cache import KernelLockManager
        locks = KernelLockManager(Path({str(tmp_path)!r}))
        locks.acquire_lock("k", "a")
        print("locked", flush=True)
        time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "locked\n"
        locks = KernelLockManager(tmp_path)
        assert locks.is_locked("k")
        assert not locks.wait_for_lock("k", 0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert locks.wait_for_lock("k", 10)
    assert locks.acquire_lock("k", "b", acquire_timeout=1)

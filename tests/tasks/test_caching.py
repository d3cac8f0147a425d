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
from installed import install

from config import plugins
from tasks import caching
from tasks.artifact import Artifact
from tasks.caching import cache_key
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
    forget()
    yield tmp_path
    forget()


def forget():
    """What was read of code."""
    caching.sources.cache_clear()
    caching._plugin_sources.cache_clear()


# Stages that use trained models.
OPENING = {"evaluation", "trial", "ablation_score"}
# Stage -> a module whose change must count for it, and one whose change must not.
CODE = {
    "ingest": ("can/readers/four_column_csv.py", "graphs/build.py"),
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


def stages_that_change(checkout, file, **overrides):
    """Stages whose code is another one once `file` is."""
    models = models_of(checkout, **overrides)

    def keys():
        inputs = {stage: {"models": models if stage in {"fusion", *OPENING} else []} for stage in STAGES}
        return {stage: cache_key(STAGES[stage], tiny(**overrides), inputs[stage]) for stage in STAGES}

    before = keys()
    with (checkout / file).open("a") as source:
        source.write("\n# changed\n")
    forget()
    return {stage for stage, key in keys().items() if key != before[stage]}


def models_of(folder, **overrides):
    """Artifacts of trained models, of which there are only the configs."""
    models = []
    for model in ("vgae", "gat", "fusion"):
        (folder / model).mkdir(exist_ok=True)
        (folder / model / "config.json").write_text(tiny(model, **overrides).model_dump_json())
        models.append(Artifact(kind=model, path=folder / model, digest=model))
    return models


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_of_code_counts_for_the_stages_that_it_can_touch(checkout, stage):
    read, unread = CODE[stage]
    assert stage in stages_that_change(checkout, f"kdgat_models/{read}")
    forget()
    assert stage not in stages_that_change(checkout, f"kdgat_models/{unread}")


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("kdgat_models/fusion/dqn.py", {"fusion", *OPENING}),
        ("kdgat_models/fusion/weighted_avg.py", set()),
        ("kdgat_models/networks/gat.py", {"gat", "fusion", *OPENING}),
        ("kdgat_models/networks/convolutions/transformer.py", {"gat", "fusion", *OPENING}),
        ("kdgat_models/networks/convolutions/gat.py", set()),
        ("kdgat_models/networks/poolings/mean_max.py", {"gat", "fusion", *OPENING}),
        ("kdgat_models/networks/poolings/attention.py", set()),
        ("kdgat_models/training/window_losses/cross_entropy.py", {"gat"}),
        ("kdgat_models/training/window_losses/focal.py", set()),
        ("kdgat_models/graphs/relative.py", {"graphs", "pool"}),
        ("kdgat_models/graphs/reference.py", set()),
        ("kdgat_models/can/readers/untimed_csv.py", {"ingest"}),
        ("kdgat_models/can/readers/hcrl_csv.py", set()),
        ("kdgat_models/evaluation/protocols/official.py", set()),
        ("kdgat_models/can/simulate.py", set()),
        ("config/catalog.py", {"ingest", "graphs", "pool"}),
        ("flows/cli/main.py", set()),
    ],
)
def test_a_change_of_code_counts_for_no_other_stage(checkout, file, stages):
    assert stages_that_change(checkout, file) == stages


@pytest.mark.parametrize(
    ("file", "chosen", "stages"),
    [
        ("fusion/weighted_avg.py", {"fusion.method": "weighted_avg"}, {"fusion", *OPENING}),
        ("networks/convolutions/gat.py", {"gat.conv": "gat"}, {"gat", "fusion", *OPENING}),
        ("training/window_losses/focal.py", {"loss.name": "focal"}, {"gat"}),
        ("graphs/reference.py", {"preprocessing.feature_schema": "reference"}, {"graphs", "pool"}),
        ("can/readers/hcrl_text.py", {"dataset": "hcrl_ch"}, {"ingest"}),
        ("evaluation/protocols/official.py", {"protocol": "official"}, {"protocol"}),
    ],
)
def test_a_change_of_what_is_chosen_by_name_counts_where_it_is_chosen(checkout, file, chosen, stages):
    assert stages_that_change(checkout, f"kdgat_models/{file}", **chosen) == stages


def test_what_a_model_is_not_made_of_does_not_count_though_its_config_has_it(tmp_path):
    """Of the run that built the graphs, or trained the autoencoder, the config says how a classifier would have been made."""
    (tmp_path / "config.json").write_text(tiny("vgae", **{"gat.conv": "gat", "fusion.method": "mlp"}).model_dump_json())
    for kind, expected in (("graphs", set()), ("vgae", {"vgae"}), ("gat", {"gat", "mean_max"}), ("fusion", {"mlp"})):
        found = caching._chosen_by(tmp_path / "config.json", 0, kind) if kind in caching.MODELS else []
        assert {entry.name for entry in found} == expected
    plain = STAGES["vgae"]
    graphs = Artifact(kind="graphs", path=tmp_path, digest="d1")
    assert cache_key(plain, tiny(), {"graphs": graphs}) == cache_key(plain, tiny(), {"graphs": GRAPHS})


@pytest.fixture
def site(tmp_path_factory, monkeypatch):
    """A folder of packages on sys.path."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(folder)
    plugins._entry_points.cache_clear()
    yield folder
    plugins._entry_points.cache_clear()


@pytest.mark.parametrize(("chosen", "stages"), [("ring", {"gat", "fusion", *OPENING}), ("mean", set())])
def test_a_change_anywhere_in_the_package_of_a_plug_in_counts_where_it_is_chosen(checkout, site, chosen, stages):
    files = {"rings/__init__.py": "", "rings/ring.py": "def ring(width): ...", "rings/deep/inner.py": "def ("}
    install(site, "kdgat-rings", {"kdgat.poolings": {"ring": "rings.ring:ring"}}, files)
    assert stages_that_change(checkout, site / "rings" / "deep" / "inner.py", **{"gat.pooling": chosen}) == stages


def test_a_change_of_what_a_plug_in_imports_of_ours_counts_where_it_is_chosen(checkout, site):
    source = "from kdgat_models.networks.poolings.attention import Attention\nclass Ring(Attention): ..."
    install(site, "kdgat-rings", {"kdgat.poolings": {"ring": "ring:Ring"}}, {"ring.py": source})
    changed = stages_that_change(checkout, "kdgat_models/networks/poolings/attention.py", **{"gat.pooling": "ring"})
    assert changed == {"gat", "fusion", *OPENING}


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
    assert locks.wait_for_lock("k", 120)
    assert locks.acquire_lock("k", "b", acquire_timeout=1)

"""From a run folder into the run store."""

from copy import copy
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from conftest import tiny
from explained import REPORT

from config.paths import Paths
from config.variants import VARIANTS
from kdgat_models.checkpoint import load_checkpoint
from kdgat_models.errors import CheckpointError, ConfigError, NonFiniteError
from kdgat_models.evaluation.nightly.champions import Champion
from kdgat_models.explanation.importance import Feature, ranked
from kdgat_models.explanation.snapshots import (
    IMPORTANCE,
    ImportanceReport,
    Origin,
    Snapshot,
    read_snapshots,
    snapshot_of,
    write_snapshot,
)
from kdgat_models.files import read_record, write_json
from kdgat_models.graphs.fold import FOLD, FoldRecord
from kdgat_models.networks.gat import GAT
from kdgat_models.runs.store import RunStore
from tasks.artifact import Artifact
from tasks.hooks import AfterStage, tell
from tasks.plans.nightly import Outcome, Watched, changed_features, compare_night
from tasks.records.importances import classifier_of, store_importance
from tasks.stages.explaining import keep_importance
from tasks.stages.table import train_gat


@pytest.mark.parametrize(
    ("scale", "auxiliary", "variant"),
    [("large", "none", "large"), ("small", "none", "small_nokd"), ("tiny", "kd_standard", "tiny_kd")],
)
def test_what_a_training_left_is_kept_once(tmp_path, scale, auxiliary, variant):
    folder, store = tmp_path / "20260102T000000-abc", RunStore(tmp_path / "store")
    write_json(folder / IMPORTANCE, REPORT.model_dump(mode="json"))
    config = tiny("gat", scale, auxiliary, seed=7)
    for _ in range(2):
        made = store_importance(store, config, folder)
        assert made.origin._replace(settings=None) == Origin(folder.name, "demo", None, variant, "gat", scale, 7)
        assert made == snapshot_of(made.origin, REPORT)
        assert read_snapshots(store) == [made]


def test_the_settings_of_a_training_are_noted_but_for_its_seed(tmp_path):
    def noted(**settings):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        write_json(folder / IMPORTANCE, REPORT.model_dump(mode="json"))
        return store_importance(RunStore(tmp_path / "store"), tiny("gat", **settings), folder).origin.settings

    alike = {
        noted(),
        noted(seed=9),
        noted(**{"vgae.dropout": 0.5}),
        noted(**{"resources.cap_gb": 3}),
        noted(**{"training.batch_share": 0.5}),
    }
    assert len(alike) == 1
    others = [{"gat.dropout": 0.5}, {"loss.name": "focal"}, {"preprocessing.stride": 50}, {"augmentation.copies": 5}]
    assert len(alike | {noted(**other) for other in others}) == 5


def test_the_hook_that_keeps_it_is_told_after_every_stage_and_needs_no_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    warnings, config = [], tiny("gat", seed=7)
    for name in ("explained", "alone"):
        artifact = Artifact(kind="gat", path=tmp_path / name, digest="d")
        if name == "explained":
            write_json(artifact.path / IMPORTANCE, REPORT.model_dump(mode="json"))
        tell(AfterStage("gat", "large", config, artifact, name, "pipeline"), config, warnings.append)
    assert warnings == []
    assert [snapshot.origin.run_id for snapshot in read_snapshots(RunStore(Paths(tmp_path).store))] == ["explained"]


def test_a_training_that_left_none_is_no_error(tmp_path):
    assert store_importance(RunStore(tmp_path / "store"), tiny("gat"), tmp_path) is None
    assert read_snapshots(RunStore(tmp_path / "store")) == []


def test_a_torn_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / IMPORTANCE).write_text("{")
    with pytest.raises(CheckpointError, match=IMPORTANCE):
        store_importance(RunStore(tmp_path / "store"), tiny("gat"), tmp_path)


def test_variants_whose_classifiers_are_the_same_share_a_name():
    names = {name: classifier_of(name) for name in VARIANTS}
    assert names == {
        "large": "large",
        "small_kd": "small_kd",
        "small_kd_vgae": "small_nokd",
        "small_kd_gat": "small_kd",
        "small_nokd": "small_nokd",
        "tiny_kd": "tiny_kd",
        "tiny_kd_vgae": "tiny_nokd",
        "tiny_kd_gat": "tiny_kd",
        "tiny_nokd": "tiny_nokd",
    }
    with pytest.raises(ConfigError, match="unknown variant 'huge'; there are: large"):
        classifier_of("huge")


def champion(dataset="demo", variant="large"):
    return Champion(dataset, variant, {}, {}, "/data", {}, (), datetime(2026, 1, 1, tzinfo=UTC))


def train(store, run_id, order, hours, variant="large"):
    """A training in which 40 features count in this order."""
    features = [Feature("node", f"f{number}") for number in range(40)]
    rows = tuple(ranked(features, -np.array(order, float)))
    origin = Origin(run_id, "demo", None, variant, "gat", "large", 0)
    time = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(hours=hours)
    write_snapshot(store, Snapshot(origin, None, "integrated_gradients", 40, time, rows))


def test_the_nightly_points_out_a_champion_whose_retraining_counts_on_other_features(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    store = RunStore(Paths(tmp_path).store)
    train(store, "first", range(40), 0)
    watched = [Watched(item, item.dataset, offline="away") for item in (champion(), champion(), champion("demo", "small_kd"))]

    def notices():
        offline = [Outcome(error="away")] * len(watched)
        return [line for line in compare_night.fn("2026-01-03", watched, 0.02, offline).notices if "offline" not in line]

    assert notices() == []
    train(store, "second", range(40), 1)
    train(store, "other", range(39, -1, -1), 2, variant="small_kd")
    assert notices() == []
    train(store, "third", range(39, -1, -1), 3)
    (line,) = notices()
    assert "demo/large (third) counts on other features than the 2 before it" in line


def test_a_champion_of_a_variant_that_is_no_more_is_passed_over(tmp_path):
    assert changed_features(RunStore(tmp_path), [champion(variant="huge")]) == []


def test_what_a_classifier_counts_on_lies_beside_it_and_training_goes_on_as_if_nobody_had_asked(dataset, tmp_path):
    torch.manual_seed(0)
    network = GAT.from_config(tiny("gat", "small"), dataset.vocabulary.num_ids, dataset.schema)
    keep_importance(network, dataset, 0, tmp_path)
    report = read_record(tmp_path / IMPORTANCE, ImportanceReport)
    assert (report.method, report.fold) == ("integrated_gradients", None)


@pytest.mark.parametrize("error", [NonFiniteError("age is nan"), torch.OutOfMemoryError("full")])
def test_a_training_whose_features_cannot_be_explained_does_not_fail(dataset, tmp_path, monkeypatch, capfd, error):
    def fail(*given):
        raise error

    monkeypatch.setattr("tasks.stages.explaining.explain_training", fail)
    keep_importance(torch.nn.Linear(1, 1), dataset, 0, tmp_path)
    assert not (tmp_path / IMPORTANCE).exists()
    assert str(error) in capfd.readouterr().out


def test_of_a_fold_its_name_is_kept(dataset, tmp_path, monkeypatch):
    fold = FoldRecord(protocol="official", version=1, store=dataset.folder, name="alpha", train=(), test=(), left_out={})
    write_json(tmp_path / FOLD, fold.model_dump(mode="json"))
    given = []
    monkeypatch.setattr("tasks.stages.explaining.explain_training", lambda *arguments: given.append(arguments) or REPORT)
    view = copy(dataset)
    view.folder = tmp_path
    keep_importance(torch.nn.Linear(1, 1), view, 3, tmp_path)
    assert given[0][2:] == ("alpha", 3)


def test_a_training_comes_to_the_same_to_the_last_bit_whether_its_features_are_explained_or_not(
    demo_graphs, tmp_path, monkeypatch
):
    config = tiny("gat", "small", **{"training.max_epochs": 1, "training.min_steps_per_epoch": 1})
    made = []
    for name in ("explained", "alone"):
        if name == "alone":
            monkeypatch.setattr("tasks.stages.explaining.keep_importance", lambda *given: None)
        write_json(tmp_path / name / "config.json", config.model_dump(mode="json"))
        made.append(train_gat.body(config, tmp_path / name, graphs=demo_graphs, vgae=None, teacher=None))
    assert (tmp_path / "explained" / IMPORTANCE).exists()
    assert not (tmp_path / "alone" / IMPORTANCE).exists()
    assert made[0].digest == made[1].digest
    assert load_checkpoint(made[0].path).decision == load_checkpoint(made[1].path).decision

"""Snapshots: from a classifier to its run folder, from there to the run store and back."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import torch
from conftest import tiny
from explained import REPORT
from torch import nn

from kdgat_models.explanation.explain import MOST_WINDOWS, explain_training, explained_windows, features_of
from kdgat_models.explanation.integrated_gradients import integrated_gradients
from kdgat_models.explanation.permutation import permutation_importance
from kdgat_models.explanation.snapshots import (
    IMPORTANCE,
    ImportanceReport,
    Origin,
    read_snapshots,
    snapshot_of,
    write_snapshot,
)
from kdgat_models.files import read_record, write_json
from kdgat_models.networks.gat import GAT
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import ImportanceRow

ORIGIN = Origin("run-a", "demo", None, "small_nokd", "gat", "small", 3)


class Other(nn.Module):
    """A classifier that is no GAT of ours."""

    def __init__(self, gat):
        super().__init__()
        self.gat = gat

    def forward(self, *given):
        return self.gat(*given)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


@pytest.fixture(scope="module")
def classifier(dataset):
    torch.manual_seed(0)
    return GAT.from_config(tiny("gat", "small"), dataset.vocabulary.num_ids, dataset.schema)


def test_a_classifier_of_ours_is_explained_by_integrated_gradients(dataset, classifier):
    report = explain_training(classifier, dataset.train_data(), "fold 1", seed=0)
    windows = explained_windows(dataset.train, MOST_WINDOWS)
    assert (report.method, report.windows, report.fold) == ("integrated_gradients", len(windows), "fold 1")
    assert [row.feature for row in report.importances] == features_of(dataset.schema)
    expected = integrated_gradients(classifier, dataset.train_data(), windows)
    assert [row.importance for row in report.importances] == expected.tolist()
    assert abs((datetime.now(UTC) - report.trained_at).total_seconds()) < 600


def test_another_is_explained_by_permutation_with_its_seed(dataset, classifier):
    report = explain_training(Other(classifier), dataset.train_data(), None, seed=5)
    windows = explained_windows(dataset.train, MOST_WINDOWS)
    expected = permutation_importance(classifier, dataset.train_data(), windows, seed=5)
    assert (report.method, report.fold) == ("permutation", None)
    assert [row.importance for row in report.importances] == expected.tolist()


def test_a_report_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / IMPORTANCE, REPORT.model_dump(mode="json"))
    assert read_record(tmp_path / IMPORTANCE, ImportanceReport) == REPORT


def test_a_snapshot_is_read_as_it_was_written_and_the_same_again_adds_nothing(store):
    snapshot = snapshot_of(ORIGIN, REPORT)
    assert read_snapshots(store) == []
    for _ in range(2):
        write_snapshot(store, snapshot)
    assert read_snapshots(store) == [snapshot]
    assert snapshot.snapshot_id == "run-a-integrated_gradients"
    assert snapshot.night == "2026-01-02"
    assert store.query("select count(*) as n from importances") == [{"n": 3}]


def test_snapshots_are_read_oldest_first(store):
    for name, age in (("b", 0), ("c", 2), ("a", 1)):
        report = REPORT.model_copy(update={"trained_at": REPORT.trained_at - timedelta(days=age)})
        write_snapshot(store, snapshot_of(ORIGIN._replace(run_id=name), report))
    assert [snapshot.origin.run_id for snapshot in read_snapshots(store)] == ["c", "a", "b"]


@pytest.mark.parametrize(("column", "value"), [("importance", float("nan")), ("method", "by guess")])
def test_what_cannot_be_a_snapshot_is_named_and_the_others_are_read(store, column, value):
    snapshots = [snapshot_of(ORIGIN._replace(run_id=name), REPORT) for name in ("a", "b")]
    for snapshot in snapshots:
        write_snapshot(store, snapshot)
    rows = [replace(row, **{column: value}) for row in store.rows(ImportanceRow, "a-*")]
    store.write(ImportanceRow, "a-integrated_gradients", rows)
    assert read_snapshots(store) == snapshots[1:]
    (warning,) = store.warnings()
    assert "a-integrated_gradients.parquet is broken" in warning


def test_whoever_only_reads_snapshots_waits_for_no_torch():
    script = "import sys, kdgat_models.explanation.agreement; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

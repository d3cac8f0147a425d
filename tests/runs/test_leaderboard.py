"""Which rows of the metrics make the leaderboard, and in what order."""

import pytest

from kdgat_models.runs.store import RunStore, leaderboard
from kdgat_models.runs.tables import MetricRow

DEFAULT = {"run_id": "1", "dataset": "demo", "variant": "large", "model": "gat", "split": "test_01", "attack": "all"}


@pytest.fixture
def board(tmp_path):
    """A function that writes rows of metrics and returns the leaderboard; each row says how it differs from DEFAULT."""
    store = RunStore(tmp_path)

    def board(*rows, **options):
        written = [MetricRow(**{"pipeline_run": "p", "threshold": 0.5, "name": "f1", **DEFAULT, **row}) for row in rows]
        store.write(MetricRow, str(len(store.files("metrics"))), written)
        return leaderboard(store, **options)

    return board


def names(rows):
    return [(row.variant, row.model, row.f1) for row in rows]


@pytest.mark.parametrize("night", ["night", "2026-01-01"])
def test_what_a_night_measured_is_no_evaluation_though_it_is_newer_and_better(board, night):
    trained = {"occasion": "training", "value": 0.7}
    nightly = {"occasion": night, "value": 0.99, "run_id": "9"}
    assert names(board(trained, nightly)) == [("large", "gat", 0.7)]
    assert names(board({"variant": "small_kd", "occasion": night, "value": 1.0}, top=5)) == [("large", "gat", 0.7)]


def test_rows_of_before_there_were_nights_count(board):
    assert names(board({"value": 0.7}, {"occasion": "night", "value": 0.9})) == [("large", "gat", 0.7)]


def test_metrics_of_one_attack_type_are_not_those_of_the_whole_split(board):
    assert names(board({"attack": "dos", "value": 0.99, "run_id": "9"}, {"value": 0.7})) == [("large", "gat", 0.7)]


def test_all_figures_of_an_evaluation_stand_in_one_row(board):
    figures = {"f1": 0.7, "roc_auc": 0.9, "precision": 0.6, "recall": 0.8, "fpr": 0.1, "windows": 1200.0}
    (row,) = board(*({"name": name, "value": value} for name, value in figures.items()))
    assert row._asdict() == {
        "dataset": "demo",
        "split": "test_01",
        "variant": "large",
        "model": "gat",
        "run_id": "1",
        **figures,
        "rank": 1,
    }
    assert isinstance(row.windows, int)


def test_the_best_is_first_by_f1_then_by_auc_and_what_is_undefined_is_last(board):
    rows = [
        {"variant": "a", "value": 0.7},
        {"variant": "a", "name": "roc_auc", "value": 0.8},
        {"variant": "b", "value": 0.7},
        {"variant": "b", "name": "roc_auc", "value": 0.9},
        {"variant": "c", "value": 0.9},
        {"variant": "c", "name": "roc_auc", "value": 0.1},
        {"variant": "d", "value": None},
        {"variant": "d", "name": "roc_auc", "value": 1.0},
        {"variant": "e", "value": 0.7},
    ]
    found = board(*rows, top=9)
    assert [(row.variant, row.rank) for row in found] == [("c", 1), ("b", 2), ("a", 3), ("e", 4), ("d", 5)]
    assert [row.variant for row in board(top=2)] == ["c", "b"]


def test_each_split_and_dataset_has_a_best_of_its_own(board):
    rows = [
        {"value": 0.7},
        {"split": "test_02", "value": 0.2},
        {"dataset": "set_01", "variant": "small_kd", "value": 0.3},
        {"model": "vgae", "value": 0.6},
    ]
    found = board(*rows)
    assert [(row.dataset, row.split, row.f1) for row in found] == [
        ("demo", "test_01", 0.7),
        ("demo", "test_02", 0.2),
        ("set_01", "test_01", 0.3),
    ]
    assert [row.dataset for row in board(dataset="set_01", top=9)] == ["set_01"]
    assert [row.split for row in board(dataset="demo")] == ["test_01", "test_02"]


def test_the_last_evaluation_of_a_model_counts_for_each_of_its_figures(board):
    rows = [
        {"run_id": "20260102", "value": 0.5},
        {"run_id": "20260101", "value": 0.9},
        {"run_id": "20260101", "name": "roc_auc", "value": 0.95},
        {"run_id": "20260102", "name": "roc_auc", "value": 0.55},
    ]
    assert [(row.f1, row.roc_auc, row.run_id) for row in board(*rows)] == [(0.5, 0.55, "20260102")]

"""Drift and comparison: what the nightly re-evaluation computes."""

from copy import copy

import numpy as np
import pytest

from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.nightly.champions import Champion, champions, register, remove
from kdgat_models.evaluation.nightly.comparison import compare, figures
from kdgat_models.evaluation.nightly.drift import TrainedOn, drift
from kdgat_models.evaluation.rows import EvaluationRow, WindowMetrics
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.runs.store import RunStore

COUNTS = {"windows": 100, "true_positives": 9, "false_positives": 1}
RATES = {"f1": 0.9, "roc_auc": 0.95, "precision": 0.9, "recall": 0.9, "fpr": 0.01}
METRICS = WindowMetrics(**(dict.fromkeys(WindowMetrics._fields) | COUNTS | RATES))
ROW = EvaluationRow("large", "gat", "test_01", "all", 0.5, METRICS)


def with_metrics(**metrics):
    return ROW._replace(metrics=METRICS._replace(**metrics))


def test_a_loss_beyond_the_tolerance_against_either_is_a_regression_and_says_so():
    tonight, before = figures([with_metrics(f1=0.85)]), figures([ROW])
    for last_night, first in ((before, {}), ({}, before), (figures([with_metrics(f1=0.86)]), before)):
        worse = [item for item in compare(tonight, last_night, first, 0.02) if item.regression]
        assert [item.metric for item in worse] == ["f1"]
    assert worse[0].sentence("demo/large", "demo") == (
        "demo/large: gat on demo test_01: f1 0.8500, was 0.9000 at registration, 0.8600 last night (worse by 0.0500)"
    )
    assert not any(item.regression for item in compare(tonight, before, before, 0.06))


def test_more_false_alarms_are_worse_and_fewer_are_not():
    before = figures([ROW])
    more, fewer = (figures([with_metrics(fpr=value)]) for value in (0.05, 0.0))
    assert [item.metric for item in compare(more, before, {}, 0.02) if item.regression] == ["fpr"]
    assert not any(item.regression for item in compare(fewer, before, {}, 0.02))


def test_a_metric_that_is_gone_is_a_regression():
    gone = compare(figures([with_metrics(roc_auc=None)]), figures([ROW]), {}, 0.02)
    assert [item.metric for item in gone if item.regression] == ["roc_auc"]


def test_the_share_of_flagged_windows_is_kept_and_not_judged():
    found = figures([ROW])
    assert found["test_01", "gat", "flagged"] == pytest.approx(0.1)
    moved = {**found, ("test_01", "gat", "flagged"): 0.9}
    assert not any(item.regression for item in compare(moved, found, {}, 0.02))


def test_drift_is_zero_against_itself_and_grows_with_a_shift(dataset):
    reference = TrainedOn.of(dataset.train)
    assert reference.features == tuple(dataset.schema["node_features"][1:])
    same = drift(reference, dataset.known, dataset.train)
    assert max(value for name, value in same.items() if name.startswith("psi:")) < 1e-9
    other = drift(reference, dataset.known, dataset.test_stores()["test_02_unknown_vehicle_known_attack"])
    assert max(value for name, value in other.items() if name.startswith("psi:")) > 0.1
    assert other["new_ids"] > same["new_ids"]


def test_drift_is_the_stability_index_by_hand(dataset):
    store, schema = copy(dataset.train), dict(dataset.schema)
    schema["node_features"] = ["id_index", "one", "two"]
    store.schema = schema
    store.x = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0], [1.0, 4.0]], np.float32)
    reference = TrainedOn(("one", "two"), [np.array([0.5]), np.array([2.0, 9.0])], [np.array([0.25, 0.75]), np.full(3, 0.25)])
    store.arbitration_id = np.array([1, 2, 3, 3], np.uint32)
    found = drift(reference, Vocabulary.of([1, 2]), store)
    # Shares of "one": a half and a half. Of "two": a quarter below 2, three quarters from 2 on, none from 9 on.
    one = 0.25 * np.log(0.5 / 0.25) - 0.25 * np.log(0.5 / 0.75)
    two = 0.5 * np.log(0.75 / 0.25) + (1e-4 - 0.25) * np.log(1e-4 / 0.25)
    assert found == pytest.approx({"psi:one": one, "psi:two": two, "new_ids": 0.5})


def test_bins_have_equal_shares_of_what_was_trained_on(dataset):
    store = copy(dataset.train)
    store.x = np.arange(1000, dtype=np.float32)[:, None]
    store.schema = {**dataset.schema, "node_features": ["id_index", "only"]}
    reference = TrainedOn.of(store)
    assert reference.features == ("only",)
    np.testing.assert_allclose(reference.edges[0], 999 * np.arange(1, 10) / 10, rtol=1e-5)
    np.testing.assert_allclose(reference.shares[0], np.full(10, 0.1))


def test_a_loss_of_just_the_tolerance_is_none_and_the_worse_of_two_counts():
    def lost(now, last, first, metric="recall"):
        key = ("s", "m", metric)
        return compare({key: now}, {key: last}, {key: first}, 0.25)[0]

    assert not lost(0.5, 0.75, 0.75).regression
    assert lost(0.49, 0.75, 0.5).regression
    assert lost(0.49, 0.5, 0.75).regression
    assert lost(0.5, 0.75, 0.625).loss == 0.25
    assert lost(0.75, 0.5, 0.5).loss == -0.25
    assert lost(0.5, 0.125, 0.25, "fpr").loss == 0.375


def test_only_windows_of_any_attack_are_compared_and_what_is_undefined_is_left_out():
    found = figures([ROW, with_metrics(f1=0.1)._replace(attack="DoS"), with_metrics(roc_auc=None)._replace(model="vgae")])
    assert found["test_01", "gat", "f1"] == 0.9
    assert {metric for _, model, metric in found if model == "vgae"} == {"f1", "precision", "recall", "fpr", "flagged"}


def test_a_feature_that_never_varied_has_a_finite_index(dataset):
    reference = TrainedOn.of(dataset.train)
    constant = reference._replace(edges=[np.array([0.0])] * len(reference.features))
    constant = constant._replace(shares=[np.array([1e-4, 1.0])] * len(reference.features))
    assert all(np.isfinite(value) for value in drift(constant, Vocabulary(()), dataset.train).values())


def test_the_last_registration_holds_until_it_is_removed(tmp_path):
    from datetime import UTC, datetime

    store = RunStore(tmp_path)
    whole = window_metrics(np.repeat([0, 1], 5), np.arange(10.0), 5.0)
    row = EvaluationRow("large", "gat", "test_01", "all", 5.0, whole)
    first = Champion("demo", "large", {"vgae": None}, {"path": "/g"}, "/raw", {"seed": 0}, (row,), datetime.now(UTC))
    register(store, first)
    register(store, first._replace(raw="/elsewhere"))
    register(store, first._replace(variant="small_kd"))
    assert [(champion.name, champion.raw) for champion in champions(store)] == [
        ("demo/large", "/elsewhere"),
        ("demo/small_kd", "/raw"),
    ]
    assert champions(store)[0].rows == (row,)
    assert remove(store, "demo", "large")
    assert not remove(store, "demo", "large")
    assert [champion.name for champion in champions(store)] == ["demo/small_kd"]

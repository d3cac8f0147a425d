"""Metrics by hand, also of one class and at the borders of a rate; and what is lost between two nights."""

import numpy as np
import pytest

from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.nightly.comparison import HIGHER_IS_BETTER, Comparison, compare

RATES = ("detection_rate_at_5pct_fpr", "detection_rate_at_1pct_fpr", "detection_rate_at_0.1pct_fpr")
UNDEFINED = dict.fromkeys(["roc_auc", "pr_auc", "mcc", "kappa", "balanced_accuracy", *RATES])
SCORES = np.arange(5.0)
ONE_CLASS = {
    0: {
        **{"windows": 5, "attack_windows": 0, "true_positives": 0, "false_positives": 3, "true_negatives": 2},
        **{"false_negatives": 0, "accuracy": 0.4, "precision": 0.0, "recall": None, "f1": None, "specificity": 0.4},
        **{"fpr": 0.6, "fnr": None, **UNDEFINED},
    },
    1: {
        **{"windows": 5, "attack_windows": 5, "true_positives": 3, "false_positives": 0, "true_negatives": 0},
        **{"false_negatives": 2, "accuracy": 0.6, "precision": 1.0, "recall": 0.6, "f1": 0.75, "specificity": None},
        **{"fpr": None, "fnr": 0.4, **UNDEFINED},
    },
}


@pytest.mark.parametrize("label", ONE_CLASS)
def test_all_metrics_of_one_class_by_hand(label):
    assert window_metrics(np.full(5, label), SCORES, 2.0).by_name() == pytest.approx(ONE_CLASS[label])


def test_a_detector_that_flags_nothing_has_no_precision_and_an_f1_of_none():
    found = window_metrics(np.array([0, 0, 1, 0, 1]), SCORES, 9.0).by_name()
    expected = {"windows": 5, "attack_windows": 2, "precision": None, "recall": 0.0, "f1": 0.0, "fpr": 0.0, "fnr": 1.0}
    expected |= {"accuracy": 0.6, "specificity": 1.0, "balanced_accuracy": 0.5, "mcc": 0.0, "kappa": 0.0}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["roc_auc"] == pytest.approx(5 / 6)  # of six pairs, only that of scores 2 and 3 is the wrong way round


def test_detection_rates_are_those_at_the_largest_share_of_false_alarms_that_is_allowed():
    # Ten attacks above one normal window in a thousand, ten above ten of them, ten above fifty, seventy below all.
    attacks = np.repeat([998.5, 989.5, 949.5, -1.0], [10, 10, 10, 70])
    scores, labels = np.concatenate([np.arange(1000.0), attacks]), np.repeat([0, 1], [1000, 100])
    assert [window_metrics(labels, scores, 0.0).by_name()[name] for name in RATES] == pytest.approx([0.3, 0.2, 0.1])
    lower = np.concatenate([np.arange(1000.0), attacks - 1])  # one more false alarm is one too many
    assert [window_metrics(labels, lower, 0.0).by_name()[name] for name in RATES] == pytest.approx([0.2, 0.1, 0.0])


def test_detection_rates_of_scores_that_tell_nothing_are_the_rates_of_false_alarms():
    labels, scores = np.repeat([0, 1], 1000), np.tile(np.arange(1000.0), 2)
    assert [window_metrics(labels, scores, 0.0).by_name()[name] for name in RATES] == pytest.approx([0.05, 0.01, 0.001])


KEY = ("test_01", "gat")


def compared(metric, now, last=None, first=None, tolerance=0.02) -> Comparison:
    tonight, before, registered = ({} if value is None else {(*KEY, metric): value} for value in (now, last, first))
    (only,) = compare(tonight, before, registered, tolerance)
    return only


@pytest.mark.parametrize("metric", ["f1", "roc_auc", "precision", "recall", "fpr"])
def test_each_metric_has_a_worse_side(metric):
    worse, better = (0.6, 0.4) if metric == "fpr" else (0.4, 0.6)
    assert compared(metric, worse, last=0.5).regression
    assert compared(metric, worse, last=0.5).loss == pytest.approx(0.1)
    assert not compared(metric, better, last=0.5).regression
    assert compared(metric, better, last=0.5).loss == pytest.approx(-0.1)
    assert set(HIGHER_IS_BETTER) == {"f1", "roc_auc", "precision", "recall", "fpr"}


def test_what_was_never_known_before_is_no_loss_and_what_is_gone_is_a_whole_one():
    assert compared("f1", 0.1) == Comparison(*KEY, "f1", 0.1, None, None, 0.0, regression=False)
    for before in ({"last": 0.9}, {"first": 0.9}):
        gone = compared("fpr", None, **before)
        assert gone == Comparison(*KEY, "fpr", None, before.get("first"), before.get("last"), 1.0, regression=True)


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (0.25, {"first": 0.5, "last": 0.75}, "f1 0.2500, was 0.5000 at registration, 0.7500 last night (worse by 0.5000)"),
        (0.25, {"first": 0.5}, "f1 0.2500, was 0.5000 at registration (worse by 0.2500)"),
        (0.25, {"last": 0.75}, "f1 0.2500, was 0.7500 last night (worse by 0.5000)"),
        (None, {"last": 0.75}, "f1 undefined, was 0.7500 last night (worse by 1.0000)"),
    ],
)
def test_a_sentence_says_what_is_known(now, before, said):
    assert compared("f1", now, **before).sentence("demo/large", "hcrl") == f"demo/large: gat on hcrl test_01: {said}"


def test_comparisons_come_in_order_of_their_names():
    keys = [("b", "gat", "f1"), ("a", "vgae", "f1"), ("a", "gat", "recall"), ("a", "gat", "f1")]
    found = compare({keys[0]: 1.0, keys[1]: 1.0}, {keys[2]: 1.0}, {keys[3]: 1.0}, 0.1)
    assert [(one.split, one.model, one.metric) for one in found] == sorted(keys)

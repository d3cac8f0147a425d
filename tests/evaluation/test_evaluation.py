import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat_models.decision import DetectorScores
from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.report import split_report
from kdgat_models.evaluation.thresholds import choose_thresholds, f1_threshold, false_alarm_threshold

LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.35, 0.7, 0.8, 0.95])


def test_metrics_are_those_of_the_confusion_at_the_threshold():
    metrics = window_metrics(LABELS, SCORES, 0.6)
    counts = metrics.true_positives, metrics.false_positives, metrics.true_negatives, metrics.false_negatives
    assert counts == (3, 1, 5, 1)
    expected = {
        "accuracy": 0.8,
        "precision": 0.75,
        "recall": 0.75,
        "f1": 0.75,
        "specificity": 5 / 6,
        "balanced_accuracy": (0.75 + 5 / 6) / 2,
        "mcc": (3 * 5 - 1 * 1) / np.sqrt(4 * 4 * 6 * 6),
        "fpr": 1 / 6,
        "fnr": 0.25,
        "roc_auc": 19 / 24,
        "pr_auc": (1 / 1 + 2 / 3 + 3 / 4 + 4 / 7) / 4,  # precision at each attack, from the highest score down
        "kappa": (0.8 - 0.52) / (1 - 0.52),
    }
    assert {name: metrics.by_name()[name] for name in expected} == pytest.approx(expected)


def test_a_score_at_the_threshold_is_an_attack():
    assert window_metrics(np.array([0, 1]), np.array([0.4, 0.5]), 0.5).true_positives == 1


def test_detection_rate_at_a_false_positive_rate_does_not_exceed_it():
    labels, scores = np.repeat([0, 1], 1000), np.concatenate([np.arange(1000), np.arange(990, 1990)])
    metrics = window_metrics(labels, scores, 0)
    assert metrics.detection_rate_at_5pct_fpr == 1.0
    assert metrics.detection_rate_at_1pct_fpr == 1.0
    assert metrics.detection_rate_at_0_1pct_fpr == pytest.approx(0.991)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_metrics_undefined_never_nan(label):
    metrics = window_metrics(np.full(5, label), np.arange(5.0), 2.0)
    assert metrics.roc_auc is None
    assert metrics.mcc is None
    assert (metrics.f1 is None) == (label == 0)
    assert not any(isinstance(value, float) and np.isnan(value) for value in metrics)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=4, max_size=60),
    st.none() | st.floats(-5, 25, allow_nan=False),
)
def test_the_f1_threshold_is_as_good_as_the_best_of_all_thresholds(pairs, own):
    labels, scores = np.array([0, 1, *(p[0] for p in pairs)]), np.array([3, 7, *(p[1] for p in pairs)], float)
    best = max((window_metrics(labels, scores, cut) for cut in scores), key=lambda metrics: metrics.f1)
    errors = best.false_positives + best.false_negatives
    most = errors + max(errors, 1) ** 0.5
    as_good = 2 * best.true_positives / (2 * best.true_positives + most)
    assert window_metrics(labels, scores, f1_threshold(scores, labels, own)).f1 >= as_good - 1e-9


def test_the_f1_threshold_lies_in_the_middle_of_the_gap_whatever_one_odd_window_says():
    labels = np.array([0] * 100 + [1] * 100)
    scores = np.concatenate([np.linspace(-1, 0, 100), np.linspace(10, 11, 100)])
    middle = f1_threshold(scores, labels)
    assert middle == pytest.approx(5.0, abs=0.1)
    scores[0] = 9.0  # one normal window stands out: the best threshold is above it, the gap is where it was
    assert f1_threshold(scores, labels) == pytest.approx(middle, abs=0.2)


def test_log_odds_are_cut_where_the_classifier_does_unless_calibration_windows_know_better():
    labels = np.array([0] * 100 + [1] * 100)
    scores = np.concatenate([np.linspace(-9, -1, 100), np.linspace(10, 20, 100)])
    assert f1_threshold(scores, labels, own=0.0) == 0.0
    assert f1_threshold(scores + 5, labels, own=0.0) == pytest.approx(4.0, abs=0.2)  # all normal windows are above even odds
    assert f1_threshold(scores - 15, labels, own=0.0) == pytest.approx(-5.0, abs=0.2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.floats(0.001, 0.5))
def test_a_false_alarm_budget_is_kept_on_the_windows_it_was_chosen_on(values, budget):
    normal = np.array(values, float)
    threshold = false_alarm_threshold(normal, budget)
    assert np.mean(normal >= threshold) <= budget


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=120), st.floats(0.01, 0.5))
def test_a_false_alarm_budget_is_kept_on_a_window_that_was_not_among_them(values, budget):
    """Each of exchangeable windows in turn is the new one; of as many as the promise needs, at most the budget is called."""
    scores = np.array(values, float)
    called = [score >= false_alarm_threshold(np.delete(scores, i), budget) for i, score in enumerate(scores)]
    most = budget if len(scores) - 1 >= 1 / budget - 1 else 1 / len(scores)
    assert np.mean(called) <= most + 1e-9


def test_too_few_windows_for_a_budget_put_the_threshold_above_all_of_them():
    assert 9 < false_alarm_threshold(np.arange(10.0), 0.05) < 9.001
    assert 17 < false_alarm_threshold(np.arange(19.0), 0.1) < 17.001


@pytest.mark.parametrize("attacks", [[-1e6], [1e6] * 5000, [-1e6, 500.5, 1e6] * 300])
def test_false_alarm_thresholds_follow_normal_windows_whatever_attacks_score(attacks):
    scores = np.concatenate([attacks, np.arange(1000.0)])
    chosen = choose_thresholds(scores, np.repeat([1, 0], [len(attacks), 1000]))
    # Just above the ceil(1001 * 0.95)-th, ceil(1001 * 0.99)-th and ceil(1001 * 0.999)-th smallest of the normal scores.
    for budget, below in (("0.05", 950), ("0.01", 990), ("0.001", 999)):
        assert chosen[f"fpr_{budget}"] == np.nextafter(below, np.inf)


def test_without_attacks_to_calibrate_on_the_budget_decides():
    thresholds = choose_thresholds(np.arange(100.0), np.zeros(100, int))
    assert thresholds["f1"] == thresholds["fpr_0.001"] > 99
    with pytest.raises(DatasetError, match="no normal calibration window"):
        choose_thresholds(np.arange(3.0), np.ones(3, int))


def test_a_report_has_a_row_for_the_split_and_for_each_attack_type(dataset):
    store = dataset.test_stores()["test_01_known_vehicle_known_attack"]
    detectors = [DetectorScores("perfect", store.label.astype(float), 0.5), DetectorScores("blind", np.zeros(len(store)), 0.5)]
    rows = split_report("large", "test_01", store, detectors)
    assert {(row.variant, row.split, row.threshold) for row in rows} == {("large", "test_01", 0.5)}
    assert [(row.model, row.attack) for row in rows] == [
        (model, attack) for model in ("perfect", "blind") for attack in ("all", "fuzzing", "spoofing")
    ]
    assert [row.metrics.f1 for row in rows] == [1.0] * 3 + [0.0] * 3
    assert rows[0].metrics.windows == rows[1].metrics.windows + rows[2].metrics.windows


def test_recorded_windows_decide_on_thresholds_and_copies_only_where_no_attack_was_recorded(dataset):
    store = dataset.train
    recorded = np.array([capture.recorded for capture in store.captures])
    assert not recorded.all(), "the default method writes copies"
    chosen = calibration_windows(store)
    assert set(store.label[chosen]) == {0, 1}
    assert recorded[store.capture[chosen]].all()
    assert len(calibration_windows(store, 10)) == 10
    free = [capture.name for capture in store.captures if capture.attack_type in ("normal", "synthetic")]
    attack_free = store.restricted(free)
    chosen = calibration_windows(attack_free)
    assert set(store.label[chosen]) == {0, 1}
    assert not recorded[store.capture[chosen]].all()

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat_models.evaluation.adaptation import MINIMUM_WINDOWS, UPPER_QUANTILE, Source, from_capture, from_normal
from kdgat_models.evaluation.calibration import probability, temperature
from kdgat_models.evaluation.thresholds import false_alarm_threshold

TRAINING = np.random.default_rng(0).normal(0, 1, 5000)
SOURCE = Source.of(false_alarm_threshold(TRAINING, 0.001), TRAINING)


def scores(mean: float, count: int = 1000, seed: int = 1, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, scale, count)


def test_a_source_keeps_the_threshold_and_the_upper_end_of_normal_scores():
    source = Source.of(3.0, np.arange(1001.0))
    assert source == Source(3.0, pytest.approx(1000 * UPPER_QUANTILE))


def test_a_restless_vehicle_moves_the_threshold_by_what_its_upper_end_exceeds():
    normal = scores(1.0)
    adapted = from_normal(SOURCE, normal, 7)
    expected = SOURCE.threshold + np.quantile(normal, UPPER_QUANTILE) - SOURCE.upper
    np.testing.assert_allclose(adapted.thresholds, np.full(7, expected))
    assert adapted.calibrated.tolist() == [True] * 7
    assert adapted.reason == ""
    later = scores(1.0, 10_000, seed=2)
    assert np.mean(later >= expected) < 0.005 < np.mean(later >= SOURCE.threshold)


@given(st.floats(-5, 3), st.integers(0, 100), st.floats(0.1, 2))
def test_no_threshold_moves_down(mean, seed, scale):
    target = scores(mean, 450, seed, scale)
    assert from_normal(SOURCE, target, 3).thresholds.min() >= SOURCE.threshold
    assert from_capture(SOURCE, target).thresholds.min() >= SOURCE.threshold


def test_a_quiet_vehicle_is_calibrated_and_keeps_the_threshold():
    adapted = from_capture(SOURCE, scores(-2.0))
    assert set(adapted.thresholds) == {SOURCE.threshold}
    assert adapted.calibrated[MINIMUM_WINDOWS:].all()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_warm_up_that_looks_attacked_calibrates_nothing(share):
    target = scores(0.0)
    target[: int(share * MINIMUM_WINDOWS)] += 100
    for adapted in (from_normal(SOURCE, target[:MINIMUM_WINDOWS], len(target)), from_capture(SOURCE, target)):
        assert set(adapted.thresholds) == {SOURCE.threshold}
        assert not adapted.calibrated.any()
        assert f"{share:.0%}" in adapted.reason
        assert "attacked" in adapted.reason


@pytest.mark.parametrize(("flagged", "calibrates"), [(20, True), (21, False)])
def test_a_fifth_of_flagged_windows_is_borne_and_no_more(flagged, calibrates):
    target = np.full(MINIMUM_WINDOWS, -1.0)
    target[:flagged] = SOURCE.threshold  # at the threshold is flagged
    assert from_normal(SOURCE, target, 3).calibrated.all() == calibrates


def test_the_threshold_of_a_capture_changes_when_what_was_seen_has_doubled():
    target = scores(1.5, 1000)
    thresholds = from_capture(SOURCE, target).thresholds
    assert np.flatnonzero(np.diff(thresholds)).tolist() == [99, 199, 399, 799]
    for begin in (100, 200, 400, 800):
        bulk = target[:begin][target[:begin] < SOURCE.threshold]
        assert thresholds[begin] == pytest.approx(SOURCE.threshold + np.quantile(bulk, 0.99) - SOURCE.upper)


@pytest.mark.parametrize("count", [0, 1, MINIMUM_WINDOWS - 1])
def test_too_few_windows_calibrate_nothing(count):
    for adapted in (from_normal(SOURCE, scores(1.0, count), 5), from_capture(SOURCE, scores(1.0, count))):
        assert set(adapted.thresholds) <= {SOURCE.threshold}
        assert not adapted.calibrated.any()
        assert adapted.reason.startswith(f"{count} windows are too few")


def test_a_capture_that_ends_with_its_warm_up_has_nothing_to_calibrate():
    adapted = from_capture(SOURCE, scores(1.0, MINIMUM_WINDOWS))
    assert len(adapted.thresholds) == MINIMUM_WINDOWS
    assert not adapted.calibrated.any()
    assert "no window after" in adapted.reason


def test_attacks_after_the_warm_up_move_no_threshold_by_their_height():
    clean = scores(0.5)
    attacked = clean.copy()
    attacked[300:500] = 1000
    calm, alarmed = from_capture(SOURCE, clean), from_capture(SOURCE, attacked)
    assert alarmed.calibrated.tolist() == calm.calibrated.tolist()
    assert np.abs(alarmed.thresholds - calm.thresholds).max() < 0.5
    assert (attacked[300:500] >= alarmed.thresholds[300:500]).all()


@given(st.integers(0, 100), st.integers(1, 999), st.floats(-100, 100))
def test_what_comes_later_changes_nothing_before(seed, now, mean):
    past = scores(0.7, 1000, seed)
    other = np.concatenate([past[:now], scores(mean, 1000 - now, seed + 1)])
    first, second = from_capture(SOURCE, past), from_capture(SOURCE, other)
    # The threshold of window `now` follows from the windows before it, if the warm-up is over.
    begin = min(now, 1000) + 1 if now >= MINIMUM_WINDOWS else 0
    np.testing.assert_array_equal(first.thresholds[:begin], second.thresholds[:begin])
    np.testing.assert_array_equal(first.calibrated[:begin], second.calibrated[:begin])


def test_windows_of_the_warm_up_keep_the_threshold_of_the_training():
    adapted = from_capture(SOURCE, scores(1.0))
    assert set(adapted.thresholds[:MINIMUM_WINDOWS]) == {SOURCE.threshold}
    assert not adapted.calibrated[:MINIMUM_WINDOWS].any()
    assert adapted.calibrated[MINIMUM_WINDOWS:].all()
    assert adapted.thresholds[-1] > SOURCE.threshold


def labelled(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds that are right, and labels that are drawn by them."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 2, count)
    return odds, (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(int)


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_the_temperature_is_what_scores_are_too_sure_by(factor):
    odds, labels = labelled()
    assert temperature(factor * odds, labels) == pytest.approx(factor, rel=0.05)


def test_scores_that_are_too_sure_are_calibrated_by_their_temperature():
    odds, labels = labelled()
    scaled = 4 * odds
    fitted = temperature(scaled, labels)
    assert fitted > 1
    sure, calibrated = (gap(probability(scaled, t), labels) for t in (1.0, fitted))
    assert calibrated < 0.03
    assert sure > 0.1


def gap(p: np.ndarray, labels: np.ndarray) -> float:
    """Largest difference between what ten bins of equal size promise and what they hold."""
    bins = np.array_split(np.argsort(p), 10)
    return max(abs(p[rows].mean() - labels[rows].mean()) for rows in bins)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_tells_no_temperature(label):
    assert temperature(scores(0.0), np.full(1000, label)) == 1.0
    assert temperature(np.zeros(0), np.zeros(0, int)) == 1.0


def test_classes_that_are_told_apart_without_error_give_a_finite_temperature():
    fitted = temperature(np.array([-3.0, -2.0, 2.0, 3.0]), np.array([0, 0, 1, 1]))
    assert 0 < fitted < 1
    assert np.isfinite(probability(np.array([-1e4, 0.0, 1e4]), fitted)).all()

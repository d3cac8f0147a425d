"""From scores to the figures of a protocol, on scores whose figures are known."""

import numpy as np
import pytest

from kdgat_models.evaluation.episodes import EventMetrics
from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Overlap
from kdgat_models.evaluation.protocols.protocol_report import ProtocolReport
from kdgat_models.evaluation.protocols.report import (
    REGIMES,
    RULES,
    CaptureFrames,
    Captures,
    JudgedWindows,
    Trial,
    capture_rows,
    decide,
    fold_rows,
    macro_rows,
)
from kdgat_models.evaluation.protocols.tables import markdown
from kdgat_models.evaluation.rows import METRIC_NAMES
from kdgat_models.evaluation.thresholds import choose_thresholds, false_alarm_threshold

W = 10


def about(name: str, vehicle: str, attack: str) -> CaptureFacts:
    return CaptureFacts(name, "d", "test", vehicle, attack, name)


def make_captures() -> Captures:
    """An attack-free capture of 300 s and one of 60 s with an attack from 20 s to 30 s; 100 frames a second."""
    quiet, busy = np.arange(30_000) / 100, np.arange(6000) / 100
    attacked = ((busy >= 20) & (busy < 30)).astype(np.uint8)
    facts = [
        about("d/s/accessory-1", "v", "none"),
        about("d/s/DoS-1", "v", "DoS"),
    ]
    return Captures(facts, [CaptureFrames(quiet, np.zeros(30_000, np.uint8)), CaptureFrames(busy, attacked)], W)


def make_trial(seed: int = 0, raised: float = 0.0) -> Trial:
    """A perfect detector, but for normal scores of the target that lie `raised` above those of the training."""
    labels = np.concatenate([np.zeros(3000, int), np.isin(np.arange(600), np.arange(200, 300)).astype(int)])
    rng = np.random.default_rng(seed)
    scores = np.where(labels == 1, 9.0, rng.normal(-3 + raised, 1, 3600))
    windows = JudgedWindows(labels, np.repeat([0, 1], [3000, 600]), np.concatenate([np.arange(3000), np.arange(600)]) * W)
    known = np.repeat([0, 1], 2000)
    calibration = np.where(known == 1, rng.normal(4, 0.5, 4000), rng.normal(-3, 1, 4000))
    return Trial("v", seed, windows, {"teacher": scores}, {"teacher": (calibration, known)})


def test_a_detector_that_is_right_has_no_false_alarm_and_finds_the_episode_in_its_first_window():
    captures, trial = make_captures(), make_trial()
    decided = decide(trial, "teacher", captures)
    row = next(row for row in fold_rows([trial], "teacher", [decided], captures) if row.regime == "source")
    assert row.f1 == 1.0
    assert row.events.episodes == row.events.episodes_detected == 1
    assert row.events.time_to_detection_median_ms == pytest.approx(90, abs=1)  # the window's last frame
    assert row.events.false_alarms_per_hour == 0


def test_a_restless_vehicle_raises_false_alarms_until_the_threshold_is_adapted():
    captures, trial = make_captures(), make_trial(raised=3.2)
    decided = decide(trial, "teacher", captures)
    fpr = {row.regime: row.fpr for row in fold_rows([trial], "teacher", [decided], captures)}
    assert fpr["source"] > 0.1
    assert fpr["adapted_normal"] < fpr["source"] / 10


@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_threshold_of_the_source_is_that_of_the_rule(rule):
    captures, trial = make_captures(), make_trial()
    scores, known = trial.calibration["teacher"]
    expected, decided = choose_thresholds(scores, known), decide(trial, "teacher", captures, rule).thresholds
    assert len(set(expected.values())) == len(RULES) == 4
    assert set(decided["source"]) == {expected[rule]}
    assert set(decided["budget"]) == {expected["fpr_0.001"]}
    assert np.nanmin(decided["adapted_normal"]) >= expected[rule]


def test_only_log_odds_are_cut_at_even_odds():
    captures, trial = make_captures(), make_trial()
    scores, known = trial.calibration["teacher"]
    apart = trial._replace(calibration={"teacher": (np.where(known == 1, scores + 10, scores - 5), known)})
    assert decide(apart, "teacher", captures).thresholds["source"][0] > 2  # the middle of the gap
    assert decide(apart._replace(log_odds=frozenset({"teacher"})), "teacher", captures).thresholds["source"][0] == 0


def test_windows_that_were_calibrated_on_are_not_judged():
    captures, trial = make_captures(), make_trial()
    thresholds = decide(trial, "teacher", captures).thresholds["adapted_normal"]
    judged = np.isfinite(thresholds)
    assert not judged[:1190].any()  # two minutes of the attack-free capture
    assert judged[1210:].all()


def test_the_budget_is_one_false_alarm_in_a_thousand_normal_calibration_windows():
    captures, trial = make_captures(), make_trial()
    scores, known = trial.calibration["teacher"]
    threshold = decide(trial, "teacher", captures).thresholds["budget"]
    assert set(threshold) == {false_alarm_threshold(scores[known == 0], 0.001)}


def test_normal_minutes_are_those_of_the_longest_attack_free_capture_of_the_same_vehicle():
    captures, trial = make_captures(), make_trial()
    short = CaptureFrames(captures.frames[0].timestamp[:20_000], captures.frames[0].label[:20_000])
    facts = [captures.facts[0], captures.facts[1], about("d/s/short", "v", "none")]
    other = about("d/s/other", "w", "none")
    captures = Captures([*facts, other], [*captures.frames, short, captures.frames[0]], W)
    windows = trial.windows
    more = [np.zeros(2000, int), np.zeros(3000, int)]
    together = JudgedWindows(
        np.concatenate([windows.labels, *more]),
        np.concatenate([windows.captures, more[0] + 2, more[1] + 3]),
        np.concatenate([windows.first_frame, np.arange(2000) * W, np.arange(3000) * W]),
    )
    test = np.concatenate([trial.test["teacher"], np.full(5000, -3.0)])
    thresholds = decide(trial._replace(windows=together, test={"teacher": test}), "teacher", captures).thresholds
    judged = [np.isfinite(thresholds["adapted_normal"][together.captures == capture]) for capture in range(4)]
    # Windows of 10 frames that end within 120 s of the first frame: 1200 of them.
    assert [int((~of_capture).sum()) for of_capture in judged] == [1200, 0, 0, 1200]
    assert not judged[0][:1200].any()


def test_a_mean_over_folds_leaves_out_what_is_undefined():
    captures, trial = make_captures(), make_trial()
    rows = fold_rows([trial], "teacher", [decide(trial, "teacher", captures)], captures)
    undefined = [row._replace(fold="w", roc_auc=None, f1=0.5, f1_by_seed=[0.5]) for row in rows]
    without = [row._replace(fold="x", f1=None) for row in rows]
    macro = {row.regime: row for row in macro_rows(rows + undefined + without)}
    source = next(row for row in rows if row.regime == "source")
    assert macro["source"].folds == 2
    assert macro["source"].roc_auc == source.roc_auc
    assert macro["source"].f1_by_seed == [pytest.approx((source.f1_by_seed[0] + 0.5) / 2)]


def test_a_capture_that_begins_under_attack_is_not_calibrated_and_says_so():
    captures, trial = make_captures(), make_trial()
    trial.test["teacher"][3000:3060] = 9.0
    notes = decide(trial, "teacher", captures).notes
    assert any("DoS-1 (capture so far): not calibrated: the warm-up looks attacked" in note for note in notes)


def test_baselines_without_scores_for_copies_are_calibrated_on_the_rest():
    captures, trial = make_captures(), make_trial()
    scores, _ = trial.calibration["teacher"]
    scores[::3] = np.nan
    assert np.isfinite(decide(trial, "teacher", captures).thresholds["source"]).all()


def test_every_capture_and_rule_has_a_row_and_the_mean_counts_folds_alike():
    captures, trials = make_captures(), [make_trial(0), make_trial(1)]
    decided = [decide(trial, "teacher", captures) for trial in trials]
    assert len(list(capture_rows(trials[0], "teacher", decided[0], captures))) == 2 * len(REGIMES)
    rows = fold_rows(trials, "teacher", decided, captures)
    other = [row._replace(fold="w", f1=0.5, f1_by_seed=[0.5, 0.5]) for row in rows]
    macro = {row.regime: row for row in macro_rows(rows + other)}
    assert macro["source"].f1 == pytest.approx((rows[0].f1 + 0.5) / 2)


def test_the_report_is_readable_also_where_a_figure_is_undefined():
    captures, trial = make_captures(), make_trial()
    decided = decide(trial, "teacher", captures)
    rows = fold_rows([trial], "teacher", [decided], captures)
    report = ProtocolReport(
        protocol="leave-one-vehicle-out",
        version=1,
        states="What.",
        rule="fpr_0.05",
        datasets=["d"],
        window_size=W,
        seeds=1,
        detectors=["teacher"],
        models=["teacher"],
        baselines=[],
        parameters={"teacher": 1},
        folds=[Fold("v", ("d/s/x", "d/s/x#1"), ("d/s/DoS-1",), {"d/s/y": "shares content"})],
        names=[fact.name for fact in captures.facts],
        vehicles={fact.name: fact.vehicle for fact in captures.facts},
        macro=macro_rows(rows),
        rows=rows,
        captures=list(capture_rows(trial, "teacher", decided, captures)),
        overlaps=[Overlap("d/s/a", "d/s/b", 0.25)],
        notes=["no clock: d/s/DoS-1"],
    )
    text = markdown(report)
    assert "training captures: at most 5.0% of normal windows" in text
    assert "nan" not in text.lower()
    assert "| d/s/DoS-1 | 100 | 1.0000 / 1.0000 |" in text
    assert "left out: d/s/y shares content" in text
    assert "| d/s/a | d/s/b | 0.250 |" in text


def test_rows_are_flat_in_the_report_and_those_without_a_judged_window_have_no_metrics():
    captures, trial = make_captures(), make_trial()
    decided = decide(trial, "teacher", captures)
    normal = captures.facts[0].name
    of_capture = {(row.regime, row.capture): row for row in capture_rows(trial, "teacher", decided, captures)}
    judged = of_capture["source", normal].as_json()
    where = ["fold", "seed", "detector", "regime", "capture"]
    assert list(judged) == [*where, *METRIC_NAMES.values(), *EventMetrics._fields]
    assert judged["detection_rate_at_0.1pct_fpr"] is None
    short = trial._replace(windows=trial.windows._replace(first_frame=trial.windows.first_frame // 10))
    unjudged = [row for row in capture_rows(short, "teacher", decide(short, "teacher", captures), captures) if not row.metrics]
    assert {(row.regime, row.capture) for row in unjudged} == {("adapted_normal", normal)}
    assert list(unjudged[0].as_json()) == [*where, *EventMetrics._fields]
    (row,) = (row for row in fold_rows([trial], "teacher", [decided], captures) if row.regime == "source")
    found = row.as_json()
    assert (found["f1"], found["episodes"]) == (row.f1, row.events.episodes)
    assert found["roc_auc_interval"] == list(row.roc_auc_interval)
    assert not {"events", "metrics"} & {*judged, *found}

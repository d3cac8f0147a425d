"""Windows that are flagged become alarms, with the IDs that are suspected and what is odd about them in words."""

import numpy as np
import pytest
from opened import loaded
from relative_cases import simulated

from kdgat_models.can.frames import Frames
from kdgat_models.detection.alarms import AlarmRule, AlarmTracker
from kdgat_models.detection.findings import SYMPTOMS, expected_frames, findings_of, silences
from kdgat_models.detection.session import Options
from kdgat_models.detection.verdicts import Verdicts
from kdgat_models.detector import Detector
from kdgat_models.errors import CheckpointError, ProfileError
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.stream import GraphStream

BEGIN, END = 8.0, 9.0  # s, of the attack


def graphs_of(frames, window=50):
    (graphs,) = GraphStream("capture", RELATIVE, window, window).push(frames)
    return graphs


def sent_every(frames: Frames, identifier: int, gap: float, payload: bytes, begin=BEGIN, end=END) -> Frames:
    """The capture with forged frames of one ID."""
    time = np.arange(begin, end, gap) + frames.timestamp[0]
    count = len(time)
    columns = (
        np.concatenate([frames.timestamp, time]),
        np.concatenate([frames.arbitration_id, np.full(count, identifier, np.uint32)]),
        np.concatenate([frames.dlc, np.full(count, len(payload), np.uint8)]),
        np.concatenate([frames.payload, np.tile(np.frombuffer(payload.ljust(8, b"\0"), np.uint8), (count, 1))]),
        np.concatenate([frames.label, np.ones(count, np.uint8)]),
    )
    order = np.argsort(columns[0], kind="stable")
    return Frames._make(column[order] for column in columns)


def found_about(frames, identifier, begin=BEGIN, end=END):
    """Kinds of what is found about an ID in the windows of the attack, and the words."""
    graphs = graphs_of(frames)
    kinds, words = set(), []
    for window in np.flatnonzero((graphs.start_time >= begin) & (graphs.end_time <= end)):
        first, last = graphs.topology.node_offsets[window : window + 2]
        rows = [row for row in range(first, last) if graphs.topology.arbitration_id[row] == identifier]
        for finding in (finding for row in rows for finding in findings_of(graphs, int(window), row)):
            assert finding.arbitration_id == identifier
            kinds.add(finding.kind)
            words.append(finding.words)
    return kinds, words


@pytest.fixture(scope="module")
def normal():
    return simulated(3, None, seconds=12)


def frequent(frames, rank=0):
    ids, counts = np.unique(frames.arbitration_id, return_counts=True)
    return int(ids[np.argsort(-counts)[rank]])


def test_an_id_that_the_vehicle_does_not_have_is_called_unknown(normal):
    kinds, words = found_about(sent_every(normal, 0x7F7, 0.01, b"\1\2"), 0x7F7)
    assert "unknown_id" in kinds
    assert words[0] == "0x7F7: unknown ID: it was never seen before"


def test_an_id_that_is_sent_on_top_of_itself_comes_too_often_and_it_is_said_how_often(normal):
    identifier = frequent(normal, 5)
    mine = normal.timestamp[normal.arbitration_id == identifier]
    period = float(np.median(np.diff(mine)))
    sample = bytes(normal.payload[normal.arbitration_id == identifier][-1])
    kinds, words = found_about(sent_every(normal, identifier, period / 11, sample), identifier)
    assert "too_often" in kinds
    times = [float(text.split(" times too often")[0].split()[-1]) for text in words if "times too often" in text]
    assert 6 < np.median(times) < 18


def test_a_dlc_that_changes_is_said(normal):
    identifier = frequent(normal)
    mine = np.flatnonzero((normal.arbitration_id == identifier) & (normal.timestamp > BEGIN) & (normal.timestamp < END))
    dlc = normal.dlc.copy()
    dlc[mine] = 1 + dlc[mine] % 7
    kinds, _ = found_about(normal._replace(dlc=dlc), identifier, BEGIN - 0.2)
    assert "length" in kinds


def test_payloads_with_values_that_an_id_never_had_are_said(normal):
    identifier = frequent(normal)
    mine = np.flatnonzero((normal.arbitration_id == identifier) & (normal.timestamp > BEGIN) & (normal.timestamp < END))
    payload = normal.payload.copy()
    payload[mine] = np.random.default_rng(0).integers(0, 256, (len(mine), 8))
    kinds, _ = found_about(normal._replace(payload=payload), identifier)
    assert kinds & {"values", "bits", "counter"}


def test_an_id_that_falls_silent_is_named_with_the_time_that_it_is_missing(normal):
    identifier = frequent(normal)
    kept = ~((normal.arbitration_id == identifier) & (normal.timestamp >= BEGIN))
    graphs = graphs_of(Frames._make(column[kept] for column in normal))
    before = int(np.flatnonzero(graphs.end_time < BEGIN)[-1])
    assert identifier not in {finding.arbitration_id for finding in silences(graphs, before)}
    (finding,) = [f for f in silences(graphs, len(graphs) - 1) if f.arbitration_id == identifier]
    assert finding.kind == "silent"
    assert "fell silent" in finding.words
    silent = float(graphs.end_time[-1] - BEGIN)
    assert float(finding.words.split("fell silent ")[1].split()[0]) == pytest.approx(silent, abs=0.1)


def test_normal_traffic_has_no_silent_ids(normal):
    graphs = graphs_of(normal)
    assert sum(bool(silences(graphs, window)) for window in range(len(graphs))) == 0


def test_features_of_a_schema_without_norms_are_not_explained_by_them(normal):
    (graphs,) = GraphStream("capture", feature_schema("reference"), 50, 50).push(normal)
    (finding,) = findings_of(graphs, 3, int(graphs.topology.node_offsets[3]))
    assert finding.kind == "unlike"
    assert silences(graphs, 3) == []


@pytest.mark.parametrize(("frames", "expected"), [(60, 5.0), (10, 2.5), (3, 0.0)])
def test_the_frames_that_were_expected_follow_from_the_surplus(frames, expected):
    z = (frames - expected) / np.sqrt(expected + 1)
    assert expected_frames(frames, float(np.log2(z))) == pytest.approx(expected, abs=1e-6)
    assert expected_frames(frames, 0.0) == frames


def verdicts_of(graphs, flagged, score=3.0):
    scores = np.where(np.isin(np.arange(len(graphs)), flagged), score, -3.0)
    nobody = np.full(len(graphs), -1)
    times = (graphs.start_time, graphs.end_time)
    return Verdicts(graphs.first_frame, *times, scores, np.zeros(len(graphs)), nobody, graphs.topology.label)


def alarms_of(graphs, flagged, rule=AlarmRule()):  # noqa: B008
    tracker = AlarmTracker(rule, 1.0)
    return [*tracker.push(verdicts_of(graphs, flagged), graphs, None), *tracker.finish()]


def test_flagged_windows_are_one_alarm_until_a_quiet_second_has_passed(normal):
    graphs = graphs_of(normal)
    after = int(np.searchsorted(graphs.start_time, graphs.end_time[11] + 1.0))
    raised, over, again, at_end = alarms_of(graphs, [10, 11, after])
    assert (raised.number, raised.open, raised.windows) == (1, True, 1)
    assert (over.number, over.open, over.windows) == (1, False, 2)
    assert (over.begin, over.end) == (graphs.start_time[10], graphs.end_time[11])
    assert (over.first_frame, over.last_frame) == (500, 599)
    assert (again.number, at_end.number, at_end.open) == (2, 2, False)
    one, ended = alarms_of(graphs, [11, after - 1])
    assert (one.open, ended.open, ended.windows) == (True, False, 2)


def test_a_rule_of_several_windows_waits_for_them(normal):
    graphs = graphs_of(normal)
    rule = AlarmRule(flagged=2, of=3)
    assert alarms_of(graphs, [10], rule) == []
    raised, _ = alarms_of(graphs, [10, 12], rule)
    assert raised.detected == graphs.end_time[12]
    assert alarms_of(graphs, [10, 13], rule) == []


def test_how_sure_an_alarm_is_follows_from_its_highest_score_and_the_temperature(normal):
    graphs = graphs_of(normal)
    _, over = alarms_of(graphs, [10])
    assert over.probability == pytest.approx(1 / (1 + np.exp(-3.0)))
    tracker = AlarmTracker(AlarmRule(), None)
    assert [alarm.probability for alarm in tracker.push(verdicts_of(graphs, [10]), graphs, None)] == [None, None]


def test_an_alarm_names_the_id_of_the_highest_node_logit_first(normal):
    attacked = sent_every(normal, 0x7F7, 0.01, b"\1\2")
    graphs = graphs_of(attacked)
    window = int(np.flatnonzero(graphs.start_time >= BEGIN)[0])
    logit = np.where(graphs.topology.arbitration_id == 0x7F7, 4.0, -2.0).astype(np.float32)
    tracker = AlarmTracker(AlarmRule(), 1.0)
    _, over = [*tracker.push(verdicts_of(graphs, [window]), graphs, logit), *tracker.finish()]
    assert over.suspects[0] == 0x7F7
    assert over.findings[0].kind == "unknown_id"
    assert {finding.kind for finding in over.findings} <= {*SYMPTOMS, "silent", "unlike"}


@pytest.fixture(scope="module")
def detector():
    return Detector({"gat": loaded("gat")})


def test_minutes_that_are_known_to_be_normal_move_the_threshold_up_and_it_is_said(detector):
    frames = simulated(3, None, seconds=30)
    low = Options(adapt_s=20.0, threshold=float(np.quantile(detector.scores(frames).score, 0.9)))
    session = detector.stream("capture", low)
    verdicts = session.push(frames).verdicts
    settled = verdicts.end_time - verdicts.end_time[0] > 20.0
    assert verdicts.threshold[settled][0] > verdicts.threshold[0]
    assert len(set(verdicts.threshold[settled])) == len(set(verdicts.threshold[~settled])) == 1
    assert any("calibrated on the first 20 s" in note for note in session.notes)


def test_a_capture_that_is_shorter_than_the_adaptation_or_looks_attacked_is_said_to_be_not_calibrated(detector):
    frames = simulated(3, None, seconds=3)
    session = detector.stream("capture", Options(adapt_s=60.0))
    session.push(frames)
    session.finish()
    assert session.notes == ["not calibrated: the capture is shorter than the 60 s to adapt to"]
    long = simulated(3, None, seconds=30)
    session = detector.stream("capture", Options(adapt_s=20.0, threshold=-1e9))
    session.push(long)
    assert any(note.startswith("not calibrated: the warm-up looks attacked") for note in session.notes)


def test_a_model_that_does_not_say_what_adaptation_needs_is_refused():
    old = loaded("gat")
    decision = old.checkpoint.decision.read({"f1": 0.0})
    detector = Detector({"gat": old._replace(checkpoint=old.checkpoint._replace(decision=decision))})
    with pytest.raises(CheckpointError, match="leave --adapt out"):
        detector.stream("capture", Options(adapt_s=1.0))


def test_a_profile_is_no_use_to_features_that_know_none(normal):
    published = Detector({"gat": loaded("gat", **{"preprocessing.feature_schema": "reference"})})
    with pytest.raises(ProfileError, match="know no vehicle profile"):
        published.stream("capture", Options(profile=object()))


def test_an_untimed_capture_is_judged_and_said_to_be_untimed(detector, normal):
    session = detector.stream("capture")
    frames = normal._replace(timestamp=np.full(normal.size, 5.0))
    assert session.push(frames).verdicts.windows == normal.size // 100
    session.finish()
    assert session.notes == ["the timestamps tell no time: frames were counted instead of seconds"]

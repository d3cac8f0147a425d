import csv

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdgat_models.can.frames import read_frames
from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.lines import read_lines
from kdgat_models.can.order import AHEAD, BEHIND, FAR_S, KEPT, LOOK_AHEAD_LINES, MAX_STEP_BACK_S, decide
from kdgat_models.errors import CaptureError

HEADER = "timestamp,arbitration_id,data_field,attack\n"
TOLERANCE_S = 1e-3  # as stated; what is written as microseconds is compared without the rounding of doubles
END = 2**60


def verdicts(*times: float) -> list[int]:
    time = np.array(times, float)
    return decide(time, np.arange(len(time)), -np.inf, END).verdict.tolist()


def kept(times: list[float]) -> list[float]:
    return [time for time, verdict in zip(times, verdicts(*times), strict=True) if verdict == KEPT]


def rows_of(times: list[float]) -> str:
    return "".join(f"{time!r},{i % 5:03X},{i:04X},0\n" for i, time in enumerate(times))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1, 1e9, 2, 3], [1, 2, 3]),
        ([1e9, 1, 2, 3], [1, 2, 3]),
        ([1, 1e9, 2], [1, 2]),
        ([1, 1e9, 1e9, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 2, 0.5, 3], [1, 2, 3]),
        ([1, 0.5, 2, 3], [1, 2, 3]),
        ([5, 1], [5]),
        ([1, 2, 3, 2.5], [1, 2, 3]),
        ([1, 2, 3, 0.5], [1, 2, 3]),
        ([1, 2, 1e9, 1e9 + 1, 1e9 + 2], [1, 2, 1e9, 1e9 + 1, 1e9 + 2]),
        ([1, 2, 1e9], [1, 2, 1e9]),
        ([1, 1e9, 2, 1e9, 3, 1e9, 4], [1, 2, 3, 4]),
        ([1.0, 1.0009, 1.0, 1.002], [1.0, 1.0009, 1.0, 1.002]),
        # each a little before the one before it: the latest of all kept counts, not the last
        ([1.0, 2.0, 1.9995, 1.999, 1.9985, 1.998, 2.1], [1.0, 2.0, 1.9995, 1.999, 2.1]),
        ([], []),
    ],
    ids=str,
)
def test_a_frame_that_contradicts_the_others_is_rejected(times, expected):
    assert kept(times) == expected


def test_a_step_back_of_a_millisecond_is_kept_and_a_little_more_is_not():
    assert verdicts(1_700_000_000.0, 1_700_000_001.0, 1_700_000_000.999, 1_700_000_002.0) == [KEPT] * 4
    assert verdicts(1.0, 2.0, 1.9989, 3.0) == [KEPT, KEPT, BEHIND, KEPT]
    assert verdicts(1.0, 2.0, 1.95, 3.0) == [KEPT, KEPT, BEHIND, KEPT]


def test_a_clock_that_is_set_back_for_good_rejects_all_frames_until_it_is_past_again():
    before, after = [float(i) for i in range(100)], [float(i) for i in range(120)]
    assert verdicts(*before, *after) == [KEPT] * 100 + [BEHIND] * 99 + [KEPT] * 21


def test_a_burst_that_is_longer_than_what_is_looked_ahead_counts_as_the_clock():
    assert verdicts(1.0, *(1e9 + i for i in range(30)), *(2.0 + i for i in range(100)))[1:31] == [AHEAD] * 30
    assert verdicts(1.0, *(1e9 + i for i in range(200)), *(2.0 + i for i in range(100))) == [KEPT] * 201 + [BEHIND] * 100


@pytest.mark.parametrize("jump", [50.0, 1e9])
def test_a_burst_is_the_clock_from_the_length_on_that_it_fills_half_of_what_is_looked_ahead(jump):
    """Of 64 frames after the first of a burst of k, k - 1 can be kept with it and 65 - k without: 33 with, 33 without at 32."""
    for length, verdict in ((32, AHEAD), (33, KEPT)):
        burst, followers = [jump + i / 100 for i in range(length)], [2.0 + i / 100 for i in range(100)]
        assert verdicts(1.0, *burst, *followers)[1] == verdict


def test_a_frame_that_makes_no_difference_stays_unless_it_is_more_than_a_minute_ahead():
    assert kept([1.0, 61.0, 2.0]) == [1.0, 61.0]
    assert kept([1.0, 61.0 + 2**-20, 2.0]) == [1.0, 2.0]
    assert kept([1.0, 61.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
    assert kept([1e9, 2.0]) == [1e9]  # nothing was kept before it


def test_a_step_back_of_just_the_tolerance_is_kept():
    latest = 2.0
    lowest = latest - MAX_STEP_BACK_S
    below = np.nextafter(lowest, 0)
    assert verdicts(1.0, latest, lowest, 3.0) == [KEPT] * 4
    assert verdicts(1.0, latest, below, 3.0) == [KEPT, KEPT, BEHIND, KEPT]
    assert verdicts(1.0, latest, lowest, lowest, lowest) == [KEPT] * 5
    assert verdicts(1.0, latest, below, below, below) == [KEPT, AHEAD, KEPT, KEPT, KEPT]


def test_a_rejected_frame_is_told_what_contradicts_it():
    def against(*times):
        return decide(np.array(times), np.arange(len(times)), -np.inf, END).against.tolist()

    assert against(1.0, 3.0, 2.0, 4.0)[2] == 3.0  # the latest that was kept
    assert against(1.0, 900.0, 5.0, 2.0, 3.0, 4.0)[1:3] == [2.0, 2.0]  # the earliest of those that follow
    assert against(1.0, 900.0, *(2.0 + i for i in range(70)), 1.5)[1] == 2.0  # as far as is looked ahead
    decided = decide(np.array([1.0, 900.0, 2.0, 3.0]), np.arange(4), -np.inf, END)
    assert decided.latest == 3.0


def exact(times: list[float], latest: float) -> int:
    """How many of the frames can be kept at most, by trying all choices."""
    most = 0
    for chosen in range(2 ** len(times)):
        high, fits = latest, True
        for i, time in enumerate(times):
            if chosen >> i & 1:
                fits &= time >= high - MAX_STEP_BACK_S
                high = max(high, time)
        most = max(most, chosen.bit_count() if fits else 0)
    return most


def first_verdict(times: list[float]) -> int:
    """Verdict on the second frame, from the definition; the first is kept before it."""
    latest, time, following = times[0], times[1], times[2:]
    if time < latest - MAX_STEP_BACK_S:
        return BEHIND
    gain = exact(following, latest) - exact(following, max(time, latest)) - 1
    contradicted = any(other < time - MAX_STEP_BACK_S for other in following)
    return AHEAD if contradicted and (gain > 0 or (gain == 0 and time - latest > FAR_S)) else KEPT


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([5.0, 5.0005, 5.0015, 5.002, 6.0, 7.0, 50.0, 65.0, 65.5, 1e9, 1e9 + 1]), min_size=2, max_size=9)
)
def test_verdicts_are_those_of_the_definition_with_all_choices_tried(times):
    found = decide(np.array(times[1:]), np.arange(len(times) - 1), times[0], END).verdict
    assert found[0] == first_verdict(times)


def test_no_verdict_waits_for_more_lines_than_are_looked_ahead():
    lines = np.array([2, 3, 4 + LOOK_AHEAD_LINES])
    time = np.array([1.0, 1e9, 2.0])
    assert len(decide(time[:2], lines[:2], -np.inf, 3).verdict) == 0
    assert decide(time[:2], lines[:2], -np.inf, 3 + LOOK_AHEAD_LINES).verdict.tolist() == [KEPT, KEPT]
    assert decide(time, lines, -np.inf, END).verdict.tolist() == [KEPT, KEPT, BEHIND]
    assert decide(time, lines - np.array([0, 0, 1]), -np.inf, END).verdict.tolist() == [KEPT, AHEAD, KEPT]


@st.composite
def steady_times(draw) -> list[float]:
    """A clock that may step back inside bursts by up to a millisecond, and may be set forwards."""
    steps = draw(st.lists(st.sampled_from([0.0, 1e-4, 1e-3, 0.5, 1e4]), min_size=4, max_size=150))
    back = draw(st.lists(st.sampled_from([0.0, 0.0, 0.0, 5e-4, 1e-3]), min_size=len(steps), max_size=len(steps)))
    return [round(time - step, 6) for time, step in zip(1000 + np.cumsum(steps), back, strict=True)]


def in_order(times: list[float]) -> bool:
    latest = np.maximum.accumulate(np.array(times))
    return bool(np.all(np.array(times) >= latest - TOLERANCE_S - 1e-9))


@settings(max_examples=300, deadline=None)
@given(steady_times())
def test_a_clock_that_keeps_within_the_tolerance_loses_no_frame(times):
    assert in_order(times)
    assert kept(times) == times


@settings(max_examples=400, deadline=None)
@given(steady_times(), st.integers(0, 10**6), st.sampled_from([-1e3, -900.0, 1e5, 1e9, 7e9]))
def test_one_outlier_removes_just_itself(times, place, jump):
    """Behind all that came before, or ahead of all that follows: from the first follower to the last but one."""
    place %= len(times) - 1
    lowest, highest = min(times), max(times)
    outlier = max(lowest + jump, 0.0) if jump < 0 else highest + jump
    spoilt = [*times[: place + 1], outlier, *times[place + 1 :]]
    result = verdicts(*spoilt)
    assert [i for i, verdict in enumerate(result) if verdict != KEPT] == [place + 1]


wild_times = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 1.0005, 1.5, 2.0, 3.0, 70.0, 1e9, 7e9]), st.floats(0, 7e9), st.floats(0, 5)),
    min_size=1,
    max_size=150,
)


@settings(max_examples=300, deadline=None)
@given(wild_times)
@example([2.0, 1.0, 1e9, 3.0])
def test_kept_times_never_step_back_from_any_frame_that_was_kept(times):
    assert kept(times)
    assert in_order(kept(times))


@settings(max_examples=300, deadline=None)
@given(wild_times, st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 2000))
def test_verdicts_do_not_depend_on_the_pieces_that_frames_come_in(times, sizes, spread):
    """`spread` lines lie between two frames, so that some look ahead ends by lines and not by frames."""
    time, line = np.array(times), np.arange(len(times), dtype=np.int64) * spread
    whole = decide(time, line, -np.inf, END)
    verdict, against, latest, begin, end = [], [], -np.inf, 0, 0
    for size in [*sizes, len(times)]:
        end = min(end + size, len(times))
        read = END if end == len(times) else int(line[end - 1])
        part = decide(time[begin:end], line[begin:end], latest, read)
        verdict += part.verdict.tolist()
        against += part.against.tolist()
        latest, begin = part.latest, begin + len(part.verdict)
    assert (verdict, against, latest) == (whole.verdict.tolist(), whole.against.tolist(), whole.latest)


def result_of(folder, text: str, block_bytes: int):
    """All that ingest in quarantine mode makes of a text."""
    (folder / "x.csv").write_text(text)
    report = ingest_capture(folder / "x.csv", folder / "x.parquet", on_bad_rows="quarantine", block_bytes=block_bytes)
    rejected = folder / "x.rejected.csv"
    frames = [column.tolist() for column in read_frames(folder / "x.parquet")]
    return report, frames, rejected.read_bytes() if rejected.exists() else None


@settings(max_examples=25, deadline=None)
@given(wild_times, st.lists(st.integers(0, 10**6), max_size=12), st.integers(1, 400))
def test_frames_digest_and_rejected_rows_do_not_depend_on_where_blocks_end(tmp_path_factory, times, places, block_bytes):
    lines = rows_of(times).splitlines()
    for i, place in enumerate(places):
        lines.insert(place % (len(lines) + 1), ["", "  ", "x", "1,2", "", "9,081,zz,0"][i % 6])
    folder = tmp_path_factory.mktemp("blocks")
    text = HEADER + "\n".join(lines)
    whole = result_of(folder, text, 2**24)
    assert result_of(folder, text, block_bytes) == whole
    assert result_of(folder, text, 1) == whole
    assert in_order(whole[1][0])


def test_the_first_bad_row_is_the_error_whether_it_is_its_form_or_its_time(capture):
    with pytest.raises(CaptureError, match=r"line 3: time jumps ahead to 1000000000.0, but frames that follow are back at 2.0"):
        capture(HEADER + rows_of([1.0, 1e9, 2.0, 3.0]) + "nonsense\n")
    with pytest.raises(CaptureError, match=r"line 3: 1 fields instead of 4"):
        capture(HEADER + "1,001,00,0\nnonsense\n1e9,001,00,0\n2,001,00,0\n3,001,00,0\n")
    with pytest.raises(CaptureError, match=r"line 4: time steps back to 1.0 from 2.0"):
        capture(HEADER + rows_of([1.0, 2.0, 1.0, 3.0]))
    with pytest.raises(CaptureError, match=r"line 4: time steps back to 1.99 from 2.0; at most 1 ms is allowed"):
        capture(HEADER + rows_of([1.0, 2.0, 1.99, 3.0]))


def test_rejected_rows_of_all_blocks_are_counted_and_written_in_the_order_of_the_file(capture, tmp_path):
    rows = rows_of([float(i) for i in range(600)]).splitlines()
    rows[100], rows[300], rows[301], rows[500] = "nonsense", "9e8,001,00,0", "", "2.0,001,00,0"
    report = capture(HEADER + "\n".join(rows) + "\n", on_bad_rows="quarantine", block_bytes=500)
    with (tmp_path / "out" / "capture.rejected.csv").open() as file:
        rejected = list(csv.DictReader(file))
    assert (report.frames, report.rejected_rows) == (596, 4)
    assert [(row["line"], row["text"]) for row in rejected] == [
        ("102", "nonsense"),
        ("302", "9e8,001,00,0"),
        ("303", ""),
        ("502", "2.0,001,00,0"),
    ]
    assert "ahead" in rejected[1]["reason"]
    assert "steps back" in rejected[3]["reason"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab\n\n\n \t\r\x00\x0b"), max_size=60), st.integers(1, 70))
def test_lines_and_their_numbers_are_those_of_the_text_without_blank_ones_at_the_end(tmp_path_factory, text, block_bytes):
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(text.encode())
    expected = text.split("\n")
    while expected and not expected[-1].strip(" \t\r\n\x0b\x0c"):
        expected.pop()
    found, number = [], 1
    for part in read_lines(path, block_bytes):
        assert part.first == number
        number = part.last + 1
        found += part.text.to_list()
    blank = [line if line.strip(" \t\r\n\x0b\x0c") else "" for line in expected]
    assert [line if line.strip(" \t\r\n\x0b\x0c") else "" for line in found] == blank


def test_the_tolerance_is_a_millisecond_and_the_rounding_of_epoch_seconds():
    assert 0 <= MAX_STEP_BACK_S - 1e-3 <= 2e-6
    assert FAR_S == 60

from dataclasses import asdict, replace

import pytest

from kdgat_models.runs.memory import HIGHEST, LOWEST, START, START_DISTILLED, Lesson, StageKey, learn, lesson, lessons
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import MemoryRow, RunRow

KEY = StageKey("vgae", "small", "vgae", "demo", False)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def attempt(number):
    return RunRow(run_id="r", pipeline_run="p", attempt=number, memory_requested_mb=4000.0)


def test_nothing_is_known_at_first(store):
    assert lesson(store, KEY) == (None, START)
    assert lesson(store, KEY._replace(distilled=True)) == (None, START_DISTILLED)
    assert lesson(store, KEY).request_mb is None


def test_the_request_is_the_peak_over_the_factor_which_rises_slowly(store):
    learnt = learn(store, KEY, attempt(1), 6000.0, out_of_memory=False)
    assert learnt.factor == pytest.approx(START + 0.02)
    assert learnt.request_mb == pytest.approx(6000 / learnt.factor)
    for number in range(2, 20):
        learnt = learn(store, KEY, attempt(number), 6000.0, out_of_memory=False)
    assert learnt.factor == HIGHEST


def test_small_stages_keep_a_margin(store):
    assert learn(store, KEY, attempt(1), 500.0, out_of_memory=False).request_mb == 756


def test_running_out_lowers_the_factor_and_its_peak_is_no_peak(store):
    learn(store, KEY, attempt(1), 6000.0, out_of_memory=False)
    learnt = learn(store, KEY, attempt(2), 9000.0, out_of_memory=True)
    assert learnt.peak_mb == 6000
    assert learnt.factor == pytest.approx((START + 0.02) * 0.8)
    for number in range(3, 12):
        learnt = learn(store, KEY, attempt(number), 9000.0, out_of_memory=True)
    assert learnt.factor == LOWEST


def test_keys_do_not_learn_from_each_other(store):
    learn(store, KEY, attempt(1), 6000.0, out_of_memory=False)
    for other in (KEY._replace(dataset="demo-2"), KEY._replace(scale="large"), KEY._replace(distilled=True)):
        assert lesson(store, other).peak_mb is None
    assert [learnt.lesson.request_mb for learnt in lessons(store)] == [lesson(store, KEY).request_mb]


def test_the_highest_of_the_last_five_successes_counts(store):
    for number, peak in enumerate([9000.0, 1000.0, 2000.0, 5000.0, 3000.0, 4000.0], 1):
        learnt = learn(store, KEY, attempt(number), peak, out_of_memory=False)
    assert learnt.peak_mb == 5000
    peaks = [learn(store, KEY, attempt(number), 100.0, out_of_memory=False).peak_mb for number in range(7, 12)]
    assert peaks == [5000, 5000, 4000, 4000, 100]


def test_a_request_is_the_larger_of_share_and_margin(store):
    assert Lesson(1000.0, 0.5).request_mb == 2000
    assert Lesson(100.0, 0.5).request_mb == 356
    assert Lesson(None, 0.5).request_mb is None


def test_running_out_before_any_success_teaches_no_peak(store):
    learnt = learn(store, KEY, attempt(1), 9000.0, out_of_memory=True)
    assert learnt == (None, pytest.approx(START * 0.8))
    assert lessons(store)[0].as_json() == {
        **KEY._asdict(),
        "attempts": 1,
        "out_of_memory": 1,
        "peak_mb": None,
        "factor": pytest.approx(START * 0.8),
        "next_request_mb": None,
    }


def test_each_attempt_is_a_row_that_says_what_it_asked_for_and_used(store):
    learn(store, KEY, attempt(1), 6000.0, out_of_memory=False)
    learn(store, KEY, attempt(2), 9000.0, out_of_memory=True)
    rows = [{name: value for name, value in asdict(row).items() if name != "written_at"} for row in store.rows(MemoryRow)]
    told = {**KEY._asdict(), "run_id": "r", "pipeline_run": "p", "requested_mb": 4000.0}
    assert rows == [
        {**told, "peak_mb": 6000.0, "outcome": "completed", "factor": pytest.approx(0.87)},
        {**told, "peak_mb": 9000.0, "outcome": "out_of_memory", "factor": pytest.approx(0.696)},
    ]


def test_lessons_have_a_row_for_each_key_and_count_its_attempts(store):
    other = KEY._replace(scale="large", distilled=True)
    learn(store, KEY, attempt(1), 6000.0, out_of_memory=False)
    learn(store, KEY, attempt(2), 7000.0, out_of_memory=True)
    learn(store, other, attempt(1), 100.0, out_of_memory=False)
    large, small = lessons(store)
    assert (large.key.scale, large.attempts, large.out_of_memory, large.lesson.request_mb) == ("large", 1, 0, 356)
    assert large.lesson.factor == pytest.approx(START_DISTILLED + 0.02)
    assert (small.key.scale, small.attempts, small.out_of_memory, small.lesson.peak_mb) == ("small", 2, 1, 6000)


def test_the_figures_of_the_rule(store):
    """0.85 + 0.02, then times 0.8 in four digits until 0.4; 0.75 under distillation; never above 0.95."""
    factors = [learn(store, KEY, attempt(1), 6000.0, out_of_memory=False).factor]
    factors += [learn(store, KEY, attempt(number), 9000.0, out_of_memory=True).factor for number in range(2, 7)]
    assert factors == [0.87, 0.696, 0.5568, 0.4454, 0.4, 0.4]
    taught = KEY._replace(distilled=True)
    factors = [learn(store, taught, attempt(number), 6000.0, out_of_memory=False).factor for number in range(1, 13)]
    assert factors == [0.77, 0.79, 0.81, 0.83, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95, 0.95, 0.95]


def test_a_row_of_another_key_in_a_file_of_this_one_teaches_nothing(store):
    learn(store, KEY, attempt(1), 6000.0, out_of_memory=False)
    (row,) = store.rows(MemoryRow)
    store.write(MemoryRow, f"{KEY.file_pattern}-x-1", [replace(row, scale="large")])
    assert (lesson(store, KEY).peak_mb, len(lessons(store))) == (6000, 2)


def test_files_of_earlier_runs_are_found_by_their_names(store):
    assert KEY.file_pattern == "demo-vgae-small-vgae-no"
    pool = "+".join(f"recordings_of_yard_{number}" for number in range(40))
    assert len(KEY._replace(dataset=pool).file_pattern) < 120 < len(pool), "names of files are bounded"
    assert KEY._replace(dataset=pool).file_pattern != KEY._replace(dataset=f"{pool}0").file_pattern
    assert KEY._replace(distilled=True).file_pattern == "demo-vgae-small-vgae-kd"
    learn(store, KEY, attempt(3), 6000.0, out_of_memory=False)
    assert [file.name for file in store.files("memory")] == ["demo-vgae-small-vgae-no-r-3.parquet"]


@pytest.mark.parametrize("field", ["model_type", "scale", "stage", "dataset"])
def test_a_key_whose_name_begins_like_another_is_another(store, field):
    learn(store, KEY._replace(**{field: f"{getattr(KEY, field)}-no-x"}), attempt(1), 6000.0, out_of_memory=False)
    assert lesson(store, KEY).peak_mb is None

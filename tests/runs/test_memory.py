import pytest

from kdgat_models.runs.memory import HIGHEST, LOWEST, START, START_DISTILLED, StageKey, learn, lesson, lessons
from kdgat_models.runs.store import RunStore

KEY = StageKey("vgae", "small", "vgae", "demo", False)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def attempt(number):
    return {"run_id": "r", "pipeline_run": "p", "attempt": number, "memory_requested_mb": 4000.0}


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
    assert [row["next_request_mb"] for row in lessons(store)] == [lesson(store, KEY).request_mb]

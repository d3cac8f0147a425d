import pytest

from config.schema import ResourcesConfig
from kdgat_models.errors import DatasetError, StageError, StageInterrupted, StageOutOfMemory
from tasks.attempts import Past, Request, due, request

RESOURCES = ResourcesConfig(max_attempts=3, max_interruptions=2)
ENOUGH = 1e9


def past(*reasons, pipeline_run="now", epochs=0):
    rows = [
        {"attempt": number, "reason": reason, "pipeline_run": pipeline_run, "epochs": epochs}
        for number, reason in enumerate(reasons, 1)
    ]
    return Past(rows, "now")


def asked(memory_mb=1000.0, capped=False):
    return Request(memory_mb, capped, "test")


def test_each_attempt_that_ran_out_asks_for_once_more_the_base():
    figures = [request(1000, None, past(*["out_of_memory"] * count).multiple, ENOUGH, RESOURCES) for count in range(4)]
    assert [figure.memory_mb for figure in figures] == [1000, 2000, 3000, 3000]


def test_only_running_out_of_memory_raises_the_request():
    assert past("lost", "walltime", "cancelled", "out_of_memory").multiple == 2


def test_a_request_stops_at_the_cap_of_the_config_or_of_the_cluster():
    assert request(1000, None, 3, 2500, RESOURCES) == (2500, True, "3 x base")
    capped = RESOURCES.model_copy(update={"cap_gb": 1.0})
    assert request(2000, None, 1, ENOUGH, capped).memory_mb == 1024


def test_what_was_learnt_is_asked_for_first_and_the_base_counts_again_after_running_out():
    assert request(4000, 900, 1, ENOUGH, RESOURCES) == (900, False, "learnt from earlier runs")
    assert request(4000, 900, 2, ENOUGH, RESOURCES).memory_mb == 8000
    assert request(1000, 5000, 2, ENOUGH, RESOURCES).memory_mb == 10000
    unlearned = RESOURCES.model_copy(update={"learned": False})
    assert request(4000, 900, 1, ENOUGH, unlearned).memory_mb == 4000


def test_running_out_of_memory_is_tried_again_until_attempts_or_memory_are_used_up():
    error = StageOutOfMemory("x")
    assert due(error, past(), asked(), 0, RESOURCES)
    assert due(error, past("out_of_memory"), asked(), 0, RESOURCES)
    assert not due(error, past("out_of_memory", "out_of_memory"), asked(), 0, RESOURCES)
    assert not due(error, past(), asked(capped=True), 0, RESOURCES)


def test_attempts_of_an_earlier_pipeline_run_do_not_use_up_this_ones():
    earlier = past("out_of_memory", "out_of_memory", "out_of_memory", pipeline_run="before")
    assert due(StageOutOfMemory("x"), earlier, asked(), 0, RESOURCES)
    assert earlier.number == 4


@pytest.mark.parametrize("reason", ["lost", "cancelled", "preempted", "node_failure"])
def test_what_was_taken_away_is_tried_again_a_limited_number_of_times(reason):
    error = StageInterrupted("x", reason)
    assert due(error, past(reason), asked(), 0, RESOURCES)
    assert not due(error, past(reason, "lost"), asked(), 0, RESOURCES)


def test_a_walltime_is_resumed_as_long_as_there_are_new_epochs():
    error = StageInterrupted("x", "walltime")
    assert due(error, past(*["walltime"] * 20, epochs=3), asked(), 2, RESOURCES)
    assert due(error, past(), asked(), 0, RESOURCES)
    assert not due(error, past("walltime"), asked(), 0, RESOURCES)


@pytest.mark.parametrize(
    "error", [StageError("a bad config"), DatasetError("no attacks"), KeyError("bug"), KeyboardInterrupt()]
)
def test_everything_else_would_come_again_and_is_not_tried_again(error):
    assert not due(error, past(), asked(), 5, RESOURCES)

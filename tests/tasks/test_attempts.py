import pytest

from config.sections import ResourcesConfig
from kdgat_models.errors import DatasetError, StageError, StageInterrupted, StageOutOfMemory
from kdgat_models.runs.tables import RunRow
from tasks.execution.attempts import Past, Request, due, request

RESOURCES = ResourcesConfig(max_attempts=3, max_interruptions=2)
ENOUGH = 1e9


def past(*reasons, pipeline_run="now", epochs=0):
    rows = [
        RunRow(run_id="a", attempt=number, reason=reason, pipeline_run=pipeline_run, epochs=epochs)
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


def test_the_first_attempt_is_number_one_and_the_next_follows_the_last_whatever_their_order():
    assert past().number == 1
    assert past("lost", "lost").number == 3
    assert Past([RunRow(run_id="a", attempt=number) for number in (5, 2)], "now").number == 6


def test_one_new_epoch_is_enough_to_go_on_after_a_walltime():
    error = StageInterrupted("x", "walltime")
    assert due(error, past("walltime"), asked(), 1, RESOURCES)
    fruitful = past(*["walltime"] * 5, epochs=1)
    assert due(error, fruitful, asked(), 0, RESOURCES)  # its own attempt is the first without an epoch
    mixed = Past([*fruitful.rows, *past("walltime", epochs=0).rows], "now")
    assert not due(error, mixed, asked(), 0, RESOURCES)
    elsewhere = past("walltime", epochs=0, pipeline_run="before")
    assert due(error, elsewhere, asked(), 0, RESOURCES)


def test_one_kind_of_ending_does_not_use_up_what_another_is_allowed():
    assert due(StageOutOfMemory("x"), past("lost", "walltime", "lost"), asked(), 0, RESOURCES)
    assert due(StageInterrupted("x", "lost"), past("out_of_memory", "out_of_memory", "walltime"), asked(), 0, RESOURCES)
    assert due(StageInterrupted("x", "walltime"), past("out_of_memory", "lost", "lost"), asked(), 0, RESOURCES)


def test_a_request_is_capped_when_it_asks_for_all_there_is():
    assert request(1000, None, 1, 1001, RESOURCES) == (1000, False, "1 x base")
    assert request(1000, None, 1, 1000, RESOURCES) == (1000, True, "1 x base")
    assert request(1000, None, 2, 2000, RESOURCES) == (2000, True, "2 x base")
    capped = RESOURCES.model_copy(update={"cap_gb": 3.0})
    assert request(1000, None, 3, 1e9, capped) == (3000, False, "3 x base")
    assert request(1024, None, 3, 1e9, capped) == (3072, True, "3 x base")


def test_what_was_learnt_may_be_more_than_the_base_and_is_never_multiplied_alone():
    assert request(1000, 5000, 1, ENOUGH, RESOURCES) == (5000, False, "learnt from earlier runs")
    assert request(1000, 5000, 2, ENOUGH, RESOURCES) == (10000, False, "2 x base")
    unlearned = RESOURCES.model_copy(update={"learned": False})
    assert request(1000, 5000, 1, ENOUGH, unlearned) == (1000, False, "1 x base")

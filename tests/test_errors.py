"""The tree of errors, and what those of a stage say of themselves."""

import inspect
import pickle
import re

import pytest

from kdgat_models import errors
from kdgat_models.errors import KdgatError, StageError, StageInterrupted, StageKilled, StageOutOfMemory


def test_the_tree_that_is_drawn_is_the_tree():
    drawn, above = {}, []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"(?P<branch>[│├└─ ]*)(?P<name>\w+Error|Stage\w+)\b", line):
            depth = len(match["branch"]) // 4
            above[depth:] = [match["name"]]
            drawn[match["name"]] = above[depth - 1] if depth else None
    real = {name: error for name, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, Exception)}
    assert drawn == {name: None if error is KdgatError else error.__bases__[0].__name__ for name, error in real.items()}
    assert set(errors.__all__) == set(real)
    assert issubclass(errors.ConfigError, ValueError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StageError("x"), "error"),
        (StageOutOfMemory("x"), "out_of_memory"),
        (StageInterrupted("x"), "lost"),
        (StageInterrupted("x", "walltime"), "walltime"),
        (StageKilled("x"), "lost"),
        (StageKilled("x", "preempted"), "preempted"),
    ],
)
def test_a_stage_says_why_it_failed_also_in_another_process(error, reason):
    error.peak_memory_mb = 3.5
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert (str(one), one.reason, one.retry, one.peak_memory_mb) == ("x", reason, False, 3.5)
    assert StageError.peak_memory_mb is None

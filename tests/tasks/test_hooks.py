"""Hooks are told what happens, in order; none of them can cost a run."""

import json
import sys
from types import ModuleType

import pytest
from conftest import tiny
from own_stages import everything, not_annotated, of_another_kind

from kdgat_models.errors import KdgatError
from tasks.artifact import Artifact
from tasks.hooks import EVENTS, AfterStage, BeforeStage, Hooks, events_of
from tasks.testing import check_hook

MADE = Artifact(kind="graphs", path="/somewhere", digest="d")
EVENT = AfterStage("graphs", None, tiny(), MADE, "run-1", "pipeline-1")


def told(references, event=EVENT, seconds=30.0, times=1):
    """Warnings of hooks that are told of an event."""
    warnings, hooks = [], Hooks(references, seconds)
    for _ in range(times):
        hooks.tell(event, warnings.append)
    return warnings


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """Events that `everything` was told."""
    log = tmp_path / "log"
    monkeypatch.setenv("KDGAT_HOOK_LOG", str(log))
    return lambda: [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_hook_is_told_of_the_events_that_it_wants_and_of_no_others(heard):
    before = BeforeStage("gat", "large", tiny(), MADE.path, 1)
    assert told(["own_stages:everything"], before) == []
    assert told(["own_stages:fails"], before) == []
    assert heard() == [("BeforeStage", "gat")]


def test_hooks_are_called_one_after_the_other_in_their_order(monkeypatch):
    module, order = ModuleType("two_hooks"), []

    def first(event: AfterStage) -> None:
        order.append("first")

    def second(event: AfterStage) -> None:
        order.append("second")

    module.first, module.second = first, second
    monkeypatch.setitem(sys.modules, "two_hooks", module)
    assert told(["two_hooks:second", "two_hooks:first"], times=2) == []
    assert order == ["second", "first", "second", "first"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("own_stages:fails", "the hook own_stages:fails failed: ValueError: out of ink"),
        ("own_stages:ends_the_process", "the hook own_stages:ends_the_process failed: SystemExit: 3"),
        ("own_stages:missing", "the hook own_stages:missing is not called: AttributeError"),
        ("no_such_module:tell", "the hook no_such_module:tell is not called: ModuleNotFoundError"),
        ("own_stages", "the hook own_stages is not called: KdgatError: a hook is written MODULE:FUNCTION"),
        ("own_stages:not_annotated", "the hook own_stages:not_annotated is not called: KdgatError: a hook has one parameter"),
    ],
)
def test_a_hook_that_fails_or_cannot_be_had_is_a_warning_and_the_next_is_called(heard, reference, said):
    (warning,) = told([reference, "own_stages:everything"])
    assert warning.startswith(said)
    assert heard() == [("AfterStage", "graphs")]


def test_a_hook_that_hangs_is_left_behind_and_not_called_again(heard):
    (warning,) = told(["own_stages:hangs", "own_stages:everything"], seconds=0.2, times=3)
    assert warning == "the hook own_stages:hangs took longer than 0.2 s; it is left behind, and not called again"
    assert heard() == [("AfterStage", "graphs")] * 3


def test_what_cannot_be_imported_is_said_once():
    assert len(told(["no_such_module:tell"], times=3)) == 1


def test_the_annotation_says_what_a_hook_wants():
    assert set(events_of(everything)) == set(EVENTS.values())
    for function in (not_annotated, of_another_kind):
        with pytest.raises(KdgatError, match="one or several of BeforeStage, AfterStage"):
            events_of(function)


def test_a_package_checks_its_hook_by_the_contract():
    check_hook(everything)
    for function in (not_annotated, of_another_kind):
        with pytest.raises(AssertionError, match="a hook has one parameter"):
            check_hook(function)

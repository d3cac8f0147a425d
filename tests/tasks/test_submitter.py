"""No error of a stage is forgotten, whichever results a flow asks for. Futures of this file take the place of Prefect's."""

from types import SimpleNamespace

import pytest
from conftest import tiny
from prefect.exceptions import UnfinishedRun
from prefect.futures import PrefectFuture

from kdgat_models.errors import CaptureError, StageError
from tasks.execution import submitter
from tasks.execution.submitter import ERRORS, SHOWN, SHOWN_LETTERS, Submitter
from tasks.stages.table import STAGES


class Future(PrefectFuture):
    """A future of which it is known how it ends, and how often it was waited for."""

    def __init__(self, end):  # Prefect wants none of its own called
        self.end, self.waited = end, 0

    def wait(self, timeout=None):
        self.waited += 1

    def add_done_callback(self, fn):
        fn(self)

    def result(self, timeout=None, raise_on_failure=True):
        self.wait()
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


@pytest.fixture
def submit(tmp_path, monkeypatch):
    """Submits stages that end as they are told: submit(stage, end, variant, **inputs)."""
    compute = SimpleNamespace(folder=tmp_path / "runs" / "0d00")
    monkeypatch.setattr(submitter, "current_compute", lambda: compute)
    submitted = Submitter()

    def submit(stage, end, variant=None, **inputs):
        monkeypatch.setattr(submitter, "task_of", lambda _: SimpleNamespace(submit=lambda *_: Future(end)))
        return submitted.submit(STAGES[stage], tiny(), variant, inputs)

    submit.results, submit.result, submit.folder = submitted.results, submitted.result, compute.folder
    return submit


def message_of(ask, *futures):
    with pytest.raises(StageError) as raised:
        ask(*futures)
    return str(raised.value)


NEVER_STARTED = UnfinishedRun("Run is in PENDING state, its result is not available.")
BAD = CaptureError("a.csv line 6: the arbitration ID is 'xyz'")


def test_results_are_those_of_the_futures_that_are_wanted_once_all_have_ended(submit):
    first, second = submit("ingest", "captures"), submit("graphs", "graphs")
    assert submit.results(second) == ["graphs"]
    assert first.waited >= 1
    assert submit.results() == []
    assert submit.result(first) == "captures"


def test_the_stage_that_failed_is_named_and_not_those_that_could_not_start_for_it(submit):
    captures = submit("ingest", BAD)
    pool = submit("pool", NEVER_STARTED, captures=[captures])
    score = submit("trial", NEVER_STARTED, "fold 0", graphs={"relative": (pool,)})
    for ask in (submit.results, submit.result):
        assert message_of(ask, score) == f"ingest demo: {BAD}"
    assert not submit.folder.exists()


def test_a_failure_that_nothing_else_stands_on_is_raised_too(submit):
    wanted = submit("vgae", "made", "large")
    submit("gat", BAD, "small_kd")
    assert message_of(submit.results, wanted) == f"gat small_kd: {BAD}"
    assert submit.result(wanted) == "made"


def test_several_failures_have_a_short_line_each(submit):
    for number in range(SHOWN + 2):
        submit("gat", StageError(f"{number} " + "long " * 100 + "\nsecond line"), f"v{number}")
    first, *lines, more = message_of(submit.results).splitlines()
    assert first == f"{SHOWN + 2} stages failed:"
    assert [line[:9] for line in lines] == [f"  gat v{number}:"[:9] for number in range(SHOWN)]
    assert {len(line) for line in lines} == {SHOWN_LETTERS}
    assert more == "  and 2 more; `kdgat runs` lists them"


def test_what_is_no_error_of_ours_leaves_its_traceback_in_a_file(submit):
    submit("gat", KeyError("bug"), "large")
    said = message_of(submit.results)
    assert said == f"gat large: KeyError: 'bug' (traceback in {submit.folder / ERRORS})"
    assert "KeyError: 'bug'" in (submit.folder / ERRORS).read_text()


def test_an_error_of_the_disk_says_where(submit):
    submit("gat", OSError(28, "No space left on device"), "large")
    assert message_of(submit.results) == f"gat large: [Errno 28] No space left on device, below {submit.folder.parents[1]}"


@pytest.mark.parametrize("end", [SystemExit(143), KeyboardInterrupt()])
def test_a_flow_that_is_told_to_end_while_it_waits_does(submit, end):
    submit("gat", end)
    with pytest.raises(type(end)):
        submit.results()

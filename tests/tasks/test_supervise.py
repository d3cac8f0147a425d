"""The life of an attempt: what it reads is looked at before and after, what it came to is noted, and what follows from that.

The cluster stands aside: `Here` takes its place, so that a test says how an attempt ends.
"""

from types import SimpleNamespace

import pytest
from conftest import tiny
from prefect.logging import disable_run_logger
from whole_files import put_in_place, written_in_pieces

from config.paths import COMPLETE, DAMAGED, INPUTS, Paths
from kdgat_models.errors import CheckpointError, DatasetError, StageError, StageInterrupted, StageKilled, StageOutOfMemory
from kdgat_models.files import read_json
from kdgat_models.runs.memory import lesson
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import MemoryRow
from tasks.artifact import Artifact, read_artifact
from tasks.caching import cache_key
from tasks.events import EpochEnded
from tasks.execution import supervise as supervision
from tasks.execution.cache import cached
from tasks.execution.child import StageOutcome
from tasks.execution.supervise import key_of, supervise
from tasks.records.damage import pointer
from tasks.seals import damages
from tasks.stages.table import measure_drift

EPOCH = EpochEnded(
    epoch=1, max_epochs=9, steps=1, train={"total": 0.5}, validation={"value": 0.5}, best=True, seconds=0.1, parts=1
)

NOW: list["Here"] = []  # where stages run


class Here:
    """A cluster on which a stage sends `epochs` events and then does as `end` says: it returns or raises."""

    def __init__(self, end=lambda call: None, epochs=0, cap_mb=1e9):
        self.end, self.epochs, self.closed = end, epochs, False
        self.calls, self.needs = [], []
        self.runner = SimpleNamespace(cap_mb=lambda processor: cap_mb, threads=lambda processor: 3)

    def run(self, call, needs, on_event):
        self.calls.append(call)
        self.needs.append(needs)
        for _ in range(self.epochs):
            on_event(EPOCH)
        self.end(call)
        made = Artifact(kind="drift", path=call.folder, digest="made")
        return StageOutcome(made, 1000.0, 2.5)


def raising(error):
    def end(call):
        raise error

    return end


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    monkeypatch.setattr(supervision, "current_compute", lambda: NOW[-1])
    with disable_run_logger():
        yield Paths(tmp_path)
    NOW.clear()


@pytest.fixture
def graphs(root):
    folder = root.root / "demo" / "graphs" / "20260101T000000000000-0123456789"
    folder.mkdir(parents=True)
    (folder / "content.txt").write_text("content")
    artifact = Artifact(kind="graphs", path=folder, digest="graphs")
    artifact.publish()
    return artifact


def drift(graphs, here, config=None):
    NOW[:] = [here]
    return supervise(measure_drift, config or tiny(), None, {"trained_on": graphs, "graphs": graphs})


def failed(graphs, end, epochs=0, config=None):
    """How an attempt ended that did not come to anything, and the memory that it was given."""
    here = Here(end, epochs)
    with pytest.raises(BaseException) as raised:  # noqa: PT011  whatever the attempt ended with
        drift(graphs, here, config)
    return raised.value, here.needs[0].memory_mb


def rows(root):
    return RunStore(root.store).query("select * from attempts order by attempt")


def test_what_a_stage_made_is_published_sealed_found_again_and_noted(root, graphs):
    here = Here(epochs=2)
    made = drift(graphs, here)
    assert read_artifact(made.path, "drift") == made
    assert made.summary == {"seconds": 2.5, "peak_memory_mb": 1000.0}
    key = cache_key(measure_drift, tiny(), {"trained_on": graphs, "graphs": graphs})
    assert pointer(root.cache, key).read_text() == str(made.path)
    (row,) = rows(root)
    assert (row["status"], row["reason"], row["attempt"], row["epochs"]) == ("completed", "completed", 1, 2)
    assert (row["peak_memory_mb"], row["seconds"], row["digest"], row["path"]) == (1000, 2.5, "made", str(made.path))
    assert read_json(made.path / INPUTS)["graphs"]["digest"] == "graphs"
    (made.path / INPUTS).write_text("{}")
    assert [damage.file for damage in damages(made.path)] == [INPUTS]
    assert cached(root.cache, key) is None


def test_whatever_an_attempt_writes_is_put_in_place_whole(root, graphs):
    with put_in_place() as put:
        made = drift(graphs, Here())
    assert written_in_pieces(made.path, put) == []
    assert written_in_pieces(root.store, put) == []
    assert written_in_pieces(root.cache / "artifacts", put) == []


def test_the_call_says_what_to_run_with_what_and_how_much_it_may_use(root, graphs):
    here = Here()
    drift(graphs, here)
    (call,), (needs,) = here.calls, here.needs
    assert call.function == "tasks.stages.drift:measure"
    assert call.arguments["graphs"] == graphs.model_dump(mode="json")
    assert (call.threads, call.memory_mb) == (3, needs.memory_mb)
    assert needs == ("cpu", 3 * 1024)


def altered(graphs):
    def alter(*_):
        (graphs.path / "content.txt").write_text("altered")

    return alter


def test_a_stage_does_not_begin_on_what_was_changed(root, graphs):
    altered(graphs)()
    here = Here()
    with pytest.raises(CheckpointError, match=r"content\.txt"):
        drift(graphs, here)
    assert not here.calls
    assert not rows(root)
    assert (graphs.path / DAMAGED).exists()


def test_nothing_is_published_of_what_was_changed_while_it_was_read(root, graphs):
    error, _ = failed(graphs, altered(graphs))
    assert isinstance(error, CheckpointError)
    assert "content.txt" in str(error)
    assert not list(root.root.glob(f"demo/vgae_large_drift/*/{COMPLETE}"))
    assert not list((root.cache / "artifacts").glob("*"))
    assert [row["status"] for row in rows(root)] == ["failed"]


def walltime():
    return raising(StageInterrupted("the job reached its walltime", "walltime"))


def test_attempts_that_end_at_the_walltime_go_on_as_long_as_they_have_new_epochs(root, graphs):
    ends = [failed(graphs, walltime(), epochs)[0].retry for epochs in (2, 0, 3, 1, 0)]
    assert ends == [True, True, True, True, False]  # the second without an epoch is the last
    assert [(row["attempt"], row["epochs"], row["reason"]) for row in rows(root)] == [
        (number, epochs, "walltime") for number, epochs in enumerate((2, 0, 3, 1, 0), 1)
    ]


def test_running_out_of_memory_is_learnt_from_and_asks_for_more(root, graphs):
    key = key_of(measure_drift, tiny())
    before = lesson(RunStore(root.store), key).factor
    asked = [failed(graphs, raising(StageOutOfMemory("it ran out"))) for _ in range(3)]
    assert [memory for _, memory in asked] == [3 * 1024, 6 * 1024, 9 * 1024]
    assert [error.retry for error, _ in asked] == [True, True, False]
    assert lesson(RunStore(root.store), key).factor < before
    assert lesson(RunStore(root.store), key).peak_mb is None


def test_what_was_killed_for_no_known_reason_asks_for_as_much_again_and_teaches_nothing(root, graphs):
    asked = [failed(graphs, raising(StageKilled("it was killed"))) for _ in range(2)]
    assert [memory for _, memory in asked] == [3 * 1024] * 2
    assert all(error.retry for error, _ in asked)
    assert [row["reason"] for row in rows(root)] == ["lost", "lost"]
    assert not RunStore(root.store).rows(MemoryRow)


@pytest.mark.parametrize("error", [StageError("the stage says why"), DatasetError("no attacks")])
def test_an_error_of_the_stage_is_noted_and_not_tried_again(root, graphs, error):
    raised, _ = failed(graphs, raising(error))
    assert raised is error
    assert not getattr(raised, "retry", False)
    assert [(row["reason"], row["error"]) for row in rows(root)] == [("error", f"{type(error).__name__}: {error}")]


def test_a_flow_that_was_stopped_tries_nothing_again(root, graphs):
    here = Here()

    def end(call):
        here.closed = True
        raise StageInterrupted("its worker is gone")

    here.end = end
    with pytest.raises(StageInterrupted) as raised:
        drift(graphs, here)
    assert not raised.value.retry
    assert [row["reason"] for row in rows(root)] == ["stopped"]


def test_the_next_version_asks_for_what_the_last_one_used(root, graphs):
    drift(graphs, Here())
    learnt = lesson(RunStore(root.store), key_of(measure_drift, tiny())).request_mb
    assert learnt is not None
    assert 1000 < learnt < 3 * 1024
    here = Here()
    drift(graphs, here)
    assert here.needs[0].memory_mb == learnt
    unlearned = Here()
    drift(graphs, unlearned, tiny(**{"resources.learned": False}))
    assert unlearned.needs[0].memory_mb == 3 * 1024


def test_a_broken_file_of_the_run_store_is_said_by_the_stage_that_leaves_it_out(root, graphs, monkeypatch):
    drift(graphs, Here())
    (learnt,) = (root.store / "memory").glob("*.parquet")
    learnt.write_bytes(b"torn")
    said = []
    logger = SimpleNamespace(info=lambda *_: None, log=lambda *_: None, warning=lambda text, *more: said.append(text % more))
    monkeypatch.setattr(supervision, "get_run_logger", lambda: logger)
    drift(graphs, Here())
    assert [text.startswith(f"{learnt} is broken and was left out") for text in said] == [True]

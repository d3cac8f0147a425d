"""A stage on its way to a worker, and on it: what a worker's end means is decided here."""

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kdgat_models.errors import StageError, StageInterrupted, StageOutOfMemory
from tasks.events import Event, EventHandler, Message, Started, read_event
from tasks.execution.child import StageCall, StageOutcome
from tasks.execution.on_worker import SAID, mark_of, on_worker
from tasks.execution.rung import Rung
from tasks.execution.runner import Runner

if TYPE_CHECKING:
    from distributed import Future

POLL_S = 0.5
GONE_S = 3.0  # a worker that the scheduler has not known for so long is gone
NEWS_S = 30.0


class NeverStartedError(Exception):
    """A worker died with this stage in its queue: another stage's fault, nothing is lost."""


class Submission:
    """One stage on its way to a worker, and on it."""

    def __init__(self, runner: Runner, rung: Rung, call: StageCall, on_event: EventHandler, ticket: str) -> None:
        self.runner, self.rung, self.call, self.on_event = runner, rung, call, on_event
        self.ticket = ticket  # names the flow run, and this submission among all
        self.started: Started | None = None
        self._gone_since = 0.0
        self._news_at = time.monotonic() + NEWS_S

    def outcome(self) -> StageOutcome:
        """Wait for the end; raises what `Compute.run` does, or NeverStartedError."""
        client = self.rung.client
        client.subscribe_topic(self.ticket, lambda event: self._heard(read_event(event[1][SAID])))
        # Every submission is a new attempt, never a result that Dask remembers.
        future = client.submit(on_worker, self.call, self.ticket, key=f"stage-{self.ticket}", pure=False, retries=0)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            while not done.wait(POLL_S):
                self._look_around()
            return self._result(future)
        finally:
            with suppress(OSError):
                mark_of(self.call, self.ticket).unlink(missing_ok=True)
            if client.status == "running":  # it is closed under us when the flow is interrupted
                future.cancel()
                client.unsubscribe_topic(self.ticket)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started = event
        self.on_event(event)

    def _look_around(self) -> None:
        """Raise if the stage will not end by itself: its worker is gone, or none will come."""
        if self.started is None:
            complaint = self.rung.complaint()
            if complaint is not None:
                raise complaint
            if time.monotonic() > self._news_at:
                self._news_at = time.monotonic() + NEWS_S
                self.on_event(Message(message=self.rung.news()))
            return
        if self.started.worker in self.rung.workers():
            self._gone_since = 0.0
            return
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since > GONE_S:
            raise self.runner.explain(self.started, self._gone())

    def _result(self, future: "Future") -> StageOutcome:
        from distributed import KilledWorker

        try:
            ended = future.result()
        except KilledWorker as error:
            time.sleep(POLL_S)  # the message that it started may still be on its way
            if self.started is None:
                raise NeverStartedError from error
            raise self.runner.explain(self.started, self._gone()) from None
        if isinstance(ended, StageInterrupted | StageOutOfMemory) and self.started is not None:
            raise self.runner.explain(self.started, ended)
        if isinstance(ended, StageError):
            raise ended
        return ended

    def _gone(self) -> StageInterrupted:
        assert self.started is not None
        return StageInterrupted(f"the worker on {self.started.host} that ran {self.call.function} is gone")

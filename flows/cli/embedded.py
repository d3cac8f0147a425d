"""Run a flow from the command line: Prefect's own temporary server, progress bars, errors as one message."""

import atexit
import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.errors import KdgatError
from flows.cli.ending import ENDING, GO_ON
from tasks.execution.compute import close_open
from tasks.service.temporary_server import TemporaryServer

if TYPE_CHECKING:
    from tasks.events import Event


def run_flow(module: str, name: str, parameters: dict[str, Any], quiet: bool) -> list[Any]:
    """Import `flows.{module}` and run its flow `name`; on a terminal with progress bars, else with log lines."""
    console = Console(stderr=True)
    from tasks.records import reporting
    from tasks.service.running import lock_temporary_server

    lock_temporary_server()
    bars = console.is_terminal and not quiet
    if not bars:
        return _run(module, name, parameters, bars or quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        show = _Bars(progress)
        reporting.LISTENERS.append(show)
        try:
            return _run(module, name, parameters, bars or quiet)
        finally:
            reporting.LISTENERS.remove(show)


def _run(module: str, name: str, parameters: dict[str, Any], quiet: bool) -> list[Any]:
    ENDING.hint = GO_ON
    ENDING.at_last.append(close_open)
    server = _server_of_our_own()
    flow = getattr(importlib.import_module(f"flows.{module}"), name)  # takes seconds, and so does the server's start
    _set_up_logs(quiet)
    if server is not None:
        server.wait()
    try:
        return flow.with_options(on_running=[_listen_again])(**parameters)
    except KdgatError:
        raise
    except Exception as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, KdgatError):
            raise cause from None
        raise


def _server_of_our_own() -> TemporaryServer | None:
    """Start a server for this flow, unless Prefect's settings name one."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is not None:
        return None
    server = TemporaryServer(Path(os.environ["PREFECT_HOME"]) / "logs")
    ENDING.at_last.append(server.stop)
    atexit.register(server.stop)
    os.environ["PREFECT_API_URL"] = server.url
    refresh_global_settings_context()
    return server


def _listen_again(flow: Any, flow_run: Any, state: Any) -> None:
    """Prefect takes SIGTERM for itself when a flow begins; how this command ends is ours to say."""
    ENDING.listen()


def _set_up_logs(quiet: bool) -> None:
    """Say what is said on the terminal; what goes to Prefect's server is left as it is. Its import has set up its own."""
    if quiet:
        logging.getLogger("prefect").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_for_the_user)


ENGINE = ("flow_engine.py", "task_engine.py")
NEWS = ("Beginning", "Finished in state Completed", "Finished in state Cached")


def _is_for_the_user(record: logging.LogRecord) -> bool:
    """Of what Prefect's engine says, which prints each failure several times with its traceback: we say it, once."""
    return record.filename not in ENGINE or (record.getMessage().startswith(NEWS) and not record.exc_info)


class _Bars:
    """One bar per stage that trains, one line per stage that does not."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.bars: dict[str, Any] = {}

    def __call__(self, stage: str, event: "Event") -> None:
        from tasks.events import EpochEnded

        if not isinstance(event, EpochEnded):
            self.progress.console.print(f"[dim]{stage}:[/dim] {event.words}", highlight=False)
            return
        bar = self.bars.setdefault(stage, None)
        if bar is None:
            bar = self.bars[stage] = self.progress.add_task(stage, total=event.max_epochs, last="")
        self.progress.update(bar, completed=event.epoch, last=f"validation {event.validation['value']:.4g}")

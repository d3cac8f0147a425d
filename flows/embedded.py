"""Run a flow from the command line: Prefect's own temporary server, progress bars, errors as one message."""

import importlib
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.errors import KdgatError


def run_flow(module: str, name: str, parameters: dict[str, Any], quiet: bool) -> list[Any]:
    """Import `flows.{module}` and run its flow `name`; on a terminal with progress bars, else with log lines."""
    console = Console(stderr=True)
    import prefect  # noqa: F401 -- sets the levels of its loggers as it is imported

    from tasks import reporting
    from tasks.running import lock_temporary_server

    lock_temporary_server()
    bars = console.is_terminal and not quiet
    if bars or quiet:
        logging.getLogger("prefect").setLevel(logging.WARNING)
    if not bars:
        return _run(module, name, parameters)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        show = _Bars(progress)
        reporting.LISTENERS.append(show)
        try:
            return _run(module, name, parameters)
        finally:
            reporting.LISTENERS.remove(show)


def _run(module: str, name: str, parameters: dict[str, Any]) -> list[Any]:
    interrupts: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    starting = ThreadPoolExecutor(1)  # the server starts in its own process while the flow's modules are read
    try:
        server = starting.submit(_start_server)
        flow = getattr(importlib.import_module(f"flows.{module}"), name)
        server.result()
        return flow(**parameters)
    except KdgatError:
        raise
    except Exception as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, KdgatError):
            raise cause from None
        raise
    finally:
        if interrupts:  # whatever Prefect has made of it
            _end_at_once()


def _start_server() -> None:
    """Start Prefect's temporary server, unless there is another, deaf to Ctrl-C: the flow still has to report to it."""
    from prefect.client.orchestration import get_client

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    get_client(sync_client=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_at_once() -> NoReturn:
    """End what is left after Ctrl-C, without waiting for the last logs to be sent."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.Error):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=5)[1]:
        with suppress(psutil.Error):
            child.kill()
    print("\nkdgat: interrupted; run the same command again to go on where it stopped", file=sys.stderr, flush=True)
    os._exit(130)


class _Bars:
    """One bar per stage that trains, one line per stage that does not."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.bars: dict[str, Any] = {}

    def __call__(self, stage: str, event: dict[str, Any]) -> None:
        from tasks.events import describe

        if event["event"] != "epoch":
            self.progress.console.print(f"[dim]{stage}:[/dim] {describe(event)}", highlight=False)
            return
        bar = self.bars.setdefault(stage, None)
        if bar is None:
            bar = self.bars[stage] = self.progress.add_task(stage, total=event["max_epochs"], last="")
        self.progress.update(bar, completed=event["epoch"], last=f"validation {event['validation']['value']:.4g}")

"""Run a flow from the command line: Prefect's own temporary server, progress bars, errors as one message."""

import importlib
import logging
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.errors import KdgatError


def run_flow(module: str, name: str, parameters: dict[str, Any], quiet: bool) -> list[Any]:
    """Import `flows.{module}` and run its flow `name`; on a terminal with progress bars, else with log lines."""
    console = Console(stderr=True)
    flow = getattr(importlib.import_module(f"flows.{module}"), name)
    from tasks import reporting

    bars = console.is_terminal and not quiet
    if bars or quiet:
        logging.getLogger("prefect").setLevel(logging.WARNING)
    if not bars:
        return _run(flow, parameters)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        show = _Bars(progress)
        reporting.LISTENERS.append(show)
        try:
            return _run(flow, parameters)
        finally:
            reporting.LISTENERS.remove(show)


def _run(flow: Any, parameters: dict[str, Any]) -> list[Any]:
    try:
        return flow(**parameters)
    except KdgatError:
        raise
    except Exception as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, KdgatError):
            raise cause from None
        raise


class _Bars:
    """One bar per stage that trains, one line per stage that does not."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.bars: dict[str, Any] = {}

    def __call__(self, stage: str, event: dict[str, Any]) -> None:
        from tasks.reporting import describe

        if event["event"] != "epoch":
            self.progress.console.print(f"[dim]{stage}:[/dim] {describe(event)}", highlight=False)
            return
        bar = self.bars.setdefault(stage, None)
        if bar is None:
            bar = self.bars[stage] = self.progress.add_task(stage, total=event["max_epochs"], last="")
        self.progress.update(bar, completed=event["epoch"], last=f"validation {event['validation']['value']:.4g}")

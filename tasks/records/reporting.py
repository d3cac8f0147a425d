"""What becomes of a stage's events and figures: log lines, progress bars, rows of the run store."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import EpochRow, MetricRow, RunRow
from tasks.artifact import Artifact
from tasks.events import EpochEnded, Event, EventHandler, Started
from tasks.stage import Stage
from tasks.stages.reports import EvaluationReport, TrainedEpoch, read_epochs, read_metrics

# Whoever wants to show progress (the command line does) adds a function of (stage and variant, event).
LISTENERS: list[Callable[[str, Event], None]] = []


def listener(stage: str, variant: str | None, logger: Any, *more: EventHandler) -> EventHandler:
    """A handler that logs a stage's events and passes them on, to `more` too."""
    name = f"{stage} {variant}" if variant else stage

    def handle(event: Event) -> None:
        logger.log(logging.INFO, "%s", f"{name}: {event.words}")
        for show in LISTENERS:
            show(name, event)
        for tell in more:
            tell(event)

    return handle


class Progress:
    """Passes a stage's events on and keeps when and where it started and how far it came."""

    def __init__(self, tell: EventHandler, submitted: float) -> None:
        self._tell, self._submitted = tell, submitted
        self._started: Started | None = None
        self._first_step: float | None = None
        self.epochs = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started = event
        if isinstance(event, EpochEnded):
            self.epochs += 1
            self._first_step = self._first_step or time.time() - event.seconds
        self._tell(event)

    def on(self, row: RunRow) -> RunRow:
        """The row of the run, with what became known since it was written."""
        if self._started is None:
            return replace(row, epochs=self.epochs)
        start = self._started.time
        return replace(
            row,
            epochs=self.epochs,
            job=self._started.job,
            host=self._started.host,
            queue_seconds=round(start - self._submitted, 3),
            setup_seconds=round(self._first_step - start, 3) if self._first_step else None,
        )


def store_details(store: RunStore, stage: Stage[Any, ...], row: RunRow, artifact: Artifact) -> None:
    """Write the epochs of a training run, or the metrics of an evaluation."""
    if stage.trains:
        store.write(EpochRow, row.run_id, epoch_rows(row, read_epochs(artifact.path)))
    if artifact.kind == "evaluation":
        store.write(MetricRow, row.run_id, metric_rows(row, read_metrics(artifact.path)))


def epoch_rows(run: RunRow, epochs: Iterable[TrainedEpoch]) -> list[EpochRow]:
    """One row per epoch, part and figure."""
    return [
        EpochRow(
            run_id=run.run_id,
            pipeline_run=run.pipeline_run,
            epoch=epoch.epoch,
            part=part,
            name=name,
            value=value,
            seconds=epoch.seconds,
        )
        for epoch in epochs
        for part, figures in epoch.parts()
        for name, value in figures.items()
    ]


def metric_rows(run: RunRow, report: EvaluationReport) -> list[MetricRow]:
    """One row per model, split, attack type and metric."""
    return [
        MetricRow(
            run_id=run.run_id,
            pipeline_run=run.pipeline_run,
            dataset=report.dataset,
            variant=row.variant,
            occasion=report.occasion,
            model=row.model,
            split=row.split,
            attack=row.attack,
            threshold=row.threshold,
            name=name,
            value=value,
        )
        for row in report.rows
        for name, value in row.metrics.by_name().items()
    ]

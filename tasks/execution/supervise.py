"""The life of one attempt at a stage: run folder, memory request, run store, worker, tracking, publication."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger

from config.paths import INPUTS, Paths, RunFolder, default_root
from config.schema import PipelineConfig
from kdgat_models.errors import StageError
from kdgat_models.files import write_json, write_text
from kdgat_models.runs.memory import Lesson, StageKey, learn, lesson
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import RunRow
from tasks import hooks
from tasks.artifact import Artifact, Input, Inputs
from tasks.caching import cache_key
from tasks.events import EpochEnded, Event, EventHandler
from tasks.execution.attempts import Past, Request, due, request
from tasks.execution.child import StageCall, StageOutcome
from tasks.execution.compute import Compute
from tasks.execution.runner import Needs
from tasks.execution.task_runner import current_compute
from tasks.hooks import AfterEpoch, AfterStage, BeforeStage, StageFailed
from tasks.records import reporting, tracking
from tasks.records.damage import pointer, require_whole
from tasks.stage import BEHIND, Stage


class Execution(NamedTuple):
    """One attempt at a stage."""

    stage: Stage[Any, ...]
    config: PipelineConfig
    folder: RunFolder
    past: Past
    asked: Request
    row: RunRow  # what the run store says of it before it ends


def supervise(stage: Stage[Any, ...], config: PipelineConfig, variant: str | None, inputs: Inputs) -> Artifact:
    """Run a stage in a child process of a worker and publish what it made.

    `variant` names the runs in logs and tables.
    A second call after a kill finds the unfinished run folder of the same key and goes on in it.
    """
    paths, compute = Paths(default_root()), current_compute()
    store, key = RunStore(paths.store), cache_key(stage, config, inputs)
    logger = get_run_logger()
    require_whole(paths, inputs, logger.warning)
    execution = _begin(store, stage, config, variant, key)
    for sentence in store.warnings():
        logger.warning("%s", sentence)
    write_json(execution.folder.path / INPUTS, {name: _jsonable(value) for name, value in inputs.items()})
    store.write_run("start", replace(execution.row, status="running"))
    tell_epoch = _epochs_to_hooks(execution, variant, logger)
    progress = reporting.Progress(reporting.listener(stage.name, variant, logger, tell_epoch), time.time())
    before = BeforeStage(stage.name, variant, execution.config, execution.folder.path, execution.past.number)
    hooks.tell(before, config, logger.warning)
    try:
        outcome = compute.run(_call(execution, inputs, compute), _needs(execution), progress)
        require_whole(paths, inputs, logger.warning)  # what they turned into meanwhile is not what the key says
    except BaseException as error:
        _note_end(store, execution, error, "stopped" if compute.closed else None, progress, logger)
        raise
    artifact = _publish(paths, execution, key, progress.on(execution.row), outcome)
    after = AfterStage(stage.name, variant, execution.config, artifact, execution.folder.run_id, execution.past.pipeline_run)
    hooks.tell(after, config, logger.warning)
    return artifact


def _epochs_to_hooks(execution: Execution, variant: str | None, logger: Any) -> EventHandler:
    """Tells hooks of each epoch that a stage says it has done."""

    def tell(said: Event) -> None:
        if isinstance(said, EpochEnded):
            figures = (said.epoch, said.max_epochs, said.train, said.validation, said.seconds)
            hooks.tell(AfterEpoch(execution.stage.name, variant, *figures), execution.config, logger.warning)

    return tell


def key_of(stage: Stage[Any, ...], config: PipelineConfig) -> StageKey:
    """What the memory of this stage is remembered under."""
    model, scale = ("-", "-") if stage.shared else (config.model_type, config.scale)
    return StageKey(model, scale, stage.name, config.dataset, stage.distils(config))


def _begin(store: RunStore, stage: Stage[Any, ...], config: PipelineConfig, variant: str | None, key: str) -> Execution:
    paths, compute = Paths(default_root()), current_compute()
    task, flow = TaskRunContext.get(), FlowRunContext.get()
    pipeline_run = str(flow.flow_run.id) if flow and flow.flow_run else str(task.task_run.flow_run_id) if task else "none"
    folder = paths.run_folder(stage.family(paths, config), key)
    past = Past(_attempts(store, folder.run_id), pipeline_run)
    learnt = lesson(store, key_of(stage, config))
    config = _fitted(config, stage, learnt)
    write_json(folder.path / "config.json", config.model_dump(mode="json"))
    cap_mb = compute.runner.cap_mb(stage.processor)
    asked = request(stage.memory_mb(config), learnt.request_mb, past.multiple, cap_mb, config.resources)
    row = _row(config, stage, variant, folder.run_id, past, asked)
    name = f"{stage.name} {variant}" if variant else stage.name
    get_run_logger().info("%s", f"{name}: attempt {past.number} asks for {asked.memory_mb:.0f} MB ({asked.why})")
    return Execution(stage, config, folder, past, asked, row)


def _attempts(store: RunStore, run_id: str) -> list[RunRow]:
    """The last row of each attempt at a run; one that was killed with its pipeline has only a first row."""
    last = {(row.pipeline_run, row.attempt): row for row in store.rows(RunRow, f"{run_id}-*")}
    return list(last.values())


def _row(
    config: PipelineConfig, stage: Stage[Any, ...], variant: str | None, run_id: str, past: Past, asked: Request
) -> RunRow:
    return RunRow(
        run_id=run_id,
        pipeline_run=past.pipeline_run,
        dataset=config.dataset,
        protocol=config.protocol,
        variant=variant,
        model_type=None if stage.shared else config.model_type,
        scale=None if stage.shared else config.scale,
        stage=stage.label(config),
        auxiliary=None if stage.shared else config.auxiliary.name,
        seed=None if stage.shared else config.seed,
        started_at=datetime.now(UTC),
        attempt=past.number,
        memory_requested_mb=asked.memory_mb,
        config=config.model_dump_json(),
    )


def _fitted(config: PipelineConfig, stage: Stage[Any, ...], learnt: Lesson) -> PipelineConfig:
    """The config with the share of the batch that was learnt to fit a GPU beside a teacher. It is no part of the cache key."""
    if not stage.distils(config):
        return config
    training = config.training.model_copy(update={"batch_share": min(config.training.batch_share, learnt.factor)})
    return config.model_copy(update={"training": training})


def _call(execution: Execution, inputs: Inputs, compute: Compute) -> StageCall:
    stage = execution.stage
    return StageCall(
        function=f"{stage.module}:{stage.body.__qualname__}",
        arguments={
            "config": stage.part_of(execution.config),
            **{name: _jsonable(value) for name, value in inputs.items() if name != BEHIND},
        },
        folder=str(execution.folder.path),
        memory_mb=execution.asked.memory_mb,
        threads=compute.runner.threads(stage.processor),
    )


def _needs(execution: Execution) -> Needs:
    return Needs(execution.stage.processor, execution.asked.memory_mb)


def _note_end(
    store: RunStore,
    execution: Execution,
    error: BaseException,
    stopped: str | None,
    progress: reporting.Progress,
    logger: Any,
) -> None:
    """Write why an attempt ended and decide whether there is another one, which `error.retry` says."""
    known = error if isinstance(error, StageError) else StageError()
    peak, reason, row = known.peak_memory_mb, stopped or known.reason, execution.row
    said = f"{type(error).__name__}: {error}"
    seconds = (datetime.now(UTC) - row.started_at).total_seconds() if row.started_at else None
    end = replace(progress.on(row), status="failed", reason=reason, peak_memory_mb=peak, error=said, seconds=seconds)
    store.write_run("end", end)
    if reason == "out_of_memory":
        learn(store, key_of(execution.stage, execution.config), row, peak or execution.asked.memory_mb, out_of_memory=True)
    known.retry = not stopped and due(error, execution.past, execution.asked, progress.epochs, execution.config.resources)
    ended = f"{execution.stage.name}: attempt {row.attempt} ended ({reason.replace('_', ' ')})"
    # An error that is final is said by the flow, once.
    logger.warning("%s", f"{ended}: {error}; it is tried again" if known.retry else f"{ended}; it is not tried again")
    failed = StageFailed(execution.stage.name, row.variant, execution.config, execution.folder.path, said, known.retry)
    hooks.tell(failed, execution.config, logger.warning)


def _publish(paths: Paths, execution: Execution, key: str, row: RunRow, outcome: StageOutcome) -> Artifact:
    figures = {"seconds": outcome.seconds, "peak_memory_mb": round(outcome.peak_memory_mb, 1)}
    summary = {**outcome.artifact.summary, **figures}
    artifact = outcome.artifact.model_copy(update={"summary": summary})
    store = RunStore(paths.store)
    reporting.store_details(store, execution.stage, row, artifact)
    tracking.log_run(paths, execution.stage, execution.config, row, artifact)
    artifact.publish()
    write_text(pointer(paths.cache, key), str(artifact.path))
    store.write_run("end", _completed(row, artifact))
    learn(store, key_of(execution.stage, execution.config), row, outcome.peak_memory_mb, out_of_memory=False)
    return artifact


def _completed(row: RunRow, artifact: Artifact) -> RunRow:
    return replace(
        row,
        status="completed",
        reason="completed",
        path=str(artifact.path),
        digest=artifact.digest,
        seconds=artifact.summary["seconds"],
        peak_memory_mb=artifact.summary["peak_memory_mb"],
        peak_gpu_memory_mb=artifact.summary.get("peak_gpu_memory_mb"),
    )


def _jsonable(value: Input) -> Any:
    if isinstance(value, Artifact):
        return (value.stands_for or value).model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value

"""The life of one execution of a stage: run folder, run store, child process, tracking, publication."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger

from config.paths import Paths, RunFolder, default_root, stage_name
from config.schema import PipelineConfig
from kdgat_models.runs.store import RunStore
from tasks import reporting, tracking
from tasks.artifact import Artifact
from tasks.caching import cache_key, pointer
from tasks.child import StageCall, StageOutcome
from tasks.compute import Compute


class Execution(NamedTuple):
    """One attempt at a stage."""

    stage: str
    config: PipelineConfig
    variant: str | None  # None: shared by all variants
    folder: RunFolder
    pipeline_run: str
    attempt: int
    memory_mb: float


def supervise(stage: str, config: PipelineConfig, variant: str | None, inputs: dict[str, Any], compute: Compute) -> Artifact:
    """Run a stage in a child process of a worker and publish what it made.

    `variant` names the runs in logs and tables.
    A second call after a kill finds the unfinished run folder of the same key and goes on in it.
    """
    paths = Paths(default_root())
    key = cache_key(stage, config, inputs)
    execution = _begin(paths, stage, config, variant, key)
    call = StageCall(
        function=f"tasks.stages.{stage}:{stage}",
        arguments={"config": config.model_dump(mode="json"), **{name: _jsonable(value) for name, value in inputs.items()}},
        folder=str(execution.folder.path),
        memory_mb=execution.memory_mb,
        threads=compute.threads,
    )
    store, started = RunStore(paths.store), datetime.now(UTC)
    row = _row(execution, started)
    store.write_run("start", {**row, "status": "running"})
    try:
        outcome = compute.run(call, reporting.listener(stage, variant, get_run_logger()))
    except BaseException as error:
        seconds = (datetime.now(UTC) - started).total_seconds()
        store.write_run("end", {**row, "status": "failed", "seconds": seconds, "error": f"{type(error).__name__}: {error}"})
        raise
    return _publish(paths, execution, key, row, outcome)


def _begin(paths: Paths, stage: str, config: PipelineConfig, variant: str | None, key: str) -> Execution:
    task, flow = TaskRunContext.get(), FlowRunContext.get()
    attempt = task.task_run.run_count if task else 1
    pipeline_run = str(flow.flow_run.id) if flow and flow.flow_run else str(task.task_run.flow_run_id) if task else "none"
    folder = paths.run_folder(config, stage, key)
    config.save(folder.path / "config.json")
    memory_mb = config.resources.memory_gb(stage, attempt) * 1024
    return Execution(stage, config, variant, folder, pipeline_run, attempt, memory_mb)


def _publish(paths: Paths, execution: Execution, key: str, row: dict[str, Any], outcome: StageOutcome) -> Artifact:
    artifact = Artifact.model_validate(outcome.artifact)
    figures = {"seconds": outcome.seconds, "peak_memory_mb": round(outcome.peak_memory_mb, 1)}
    artifact = artifact.model_copy(update={"summary": {**artifact.summary, **figures}})
    store = RunStore(paths.store)
    reporting.store_details(store, row, artifact)
    tracking.log_run(paths, execution.config, row, artifact)
    artifact.publish()
    mark = pointer(paths.cache, key)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(artifact.path))
    end = {"status": "completed", "path": str(artifact.path), "digest": artifact.digest, **figures}
    end["peak_gpu_memory_mb"] = artifact.summary.get("peak_gpu_memory_mb")
    store.write_run("end", {**row, **end})
    return artifact


def _row(execution: Execution, started: datetime) -> dict[str, Any]:
    """What the run store says of an execution before it ends."""
    config = execution.config
    trained = execution.stage not in ("ingest", "graphs")
    return {
        "run_id": execution.folder.run_id,
        "pipeline_run": execution.pipeline_run,
        "dataset": config.dataset,
        "variant": execution.variant,
        "model_type": config.model_type if trained else None,
        "scale": config.scale if trained else None,
        "stage": stage_name(config, execution.stage),
        "auxiliary": config.auxiliary.name,
        "seed": config.seed,
        "started_at": started,
        "attempt": execution.attempt,
        "memory_requested_mb": execution.memory_mb,
        "config": config.model_dump_json(),
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, Artifact):
        return value.model_dump(mode="json")
    return str(value) if isinstance(value, Path) else value

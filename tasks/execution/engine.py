"""Stages as Prefect tasks. Each is a thin supervisor in a thread beside the flow; the work is done on a worker."""

from functools import cache
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from config.catalog import dataset_entry, dataset_folder
from config.paths import Paths, default_root
from config.schema import PipelineConfig
from kdgat_models.can.simulate import write_demo
from kdgat_models.errors import StageError
from kdgat_models.files import write_json
from tasks.artifact import Artifact, Inputs
from tasks.execution.cache import stage_cache_policy
from tasks.execution.supervise import supervise
from tasks.raw import SIMULATED, is_simulated, raw_artifact
from tasks.stage import Stage

MOST_ATTEMPTS = 30  # a walltime that is too short may need so many; tasks.execution.attempts says which are due


def current_run() -> str:
    """The ID of the flow run."""
    return str(flow_run.id)


def another_attempt_is_due(task: Task, task_run: TaskRun, state: State) -> bool:
    """Retry condition. The supervisor has decided, who knows what the attempt asked for and why it ended."""
    try:
        state.result(raise_on_failure=True)
    except StageError as error:
        return error.retry
    except Exception:
        return False
    return False


@cache
def task_of(stage: Stage[Any, ...]) -> Task[..., Artifact]:
    """The Prefect task that supervises a stage."""

    @task(
        name=stage.name,
        task_run_name=stage.title,
        cache_policy=stage_cache_policy(stage),
        persist_result=True,
        result_serializer="json",
        retries=MOST_ATTEMPTS - 1,
        retry_delay_seconds=[min(2.0**n, 60.0) for n in range(MOST_ATTEMPTS - 1)],  # backoff
        retry_condition_fn=another_attempt_is_due,
    )
    def supervised(config: PipelineConfig, variant: str | None, inputs: Inputs) -> Artifact:
        return supervise(stage, config, variant, inputs)

    return supervised


@task(name="find-captures", task_run_name="find {dataset}")
def find_raw(dataset: str, data_dir: Path | None) -> Artifact:
    """The raw captures of a dataset and the digest of their content; a simulated dataset is written first."""
    folder = dataset_folder(dataset, data_dir, Paths(default_root()))
    if dataset_entry(dataset).simulated and data_dir is None and not is_simulated(folder):
        files = write_demo(folder)
        write_json(folder / SIMULATED, {"captures": len(files)})
    raw = raw_artifact(dataset, folder)
    for split in raw.summary["absent_splits"]:
        get_run_logger().info("%s has no split %s: skipped", dataset, split)
    return raw

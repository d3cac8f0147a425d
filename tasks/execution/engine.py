"""The stages as Prefect tasks. Each is a thin supervisor in a thread beside the flow; the work is done on a worker.

A task's parameters beside `compute` are what its cache key is made of (see `tasks.caching`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from config.catalog import dataset_entry, dataset_folder
from config.paths import Paths, default_root
from config.schema import PipelineConfig
from kdgat_models.can.simulate import write_demo
from kdgat_models.errors import StageError
from kdgat_models.files import write_json
from tasks.artifact import Artifact
from tasks.execution.cache import stage_cache_policy
from tasks.execution.compute import Compute
from tasks.execution.supervise import supervise
from tasks.raw import SIMULATED, is_simulated, raw_artifact

Submit = Callable[..., Any]  # (stage, config, variant, **inputs): a future, or what is known of the result
MOST_ATTEMPTS = 30  # a walltime that is too short may need so many; tasks.execution.attempts says which are due


def current_run() -> str:
    """The ID of the flow run."""
    return str(flow_run.id)


def side_by_side(stages: int) -> Any:
    """Task runner of a flow: its supervisors wait in threads, as many as `stages`, for work that is done elsewhere."""
    return ThreadPoolTaskRunner(max_workers=stages)


def another_attempt_is_due(task: Task, task_run: TaskRun, state: State) -> bool:
    """Retry condition. The supervisor has decided, who knows what the attempt asked for and why it ended."""
    try:
        state.result(raise_on_failure=True)
    except StageError as error:
        return error.retry
    except Exception:
        return False
    return False


def stage_options(stage: str) -> dict[str, Any]:
    """Options that all stage tasks share."""
    return {
        "cache_policy": stage_cache_policy(stage),
        "persist_result": True,
        "result_serializer": "json",
        "retries": MOST_ATTEMPTS - 1,
        "retry_delay_seconds": [min(2.0**n, 60.0) for n in range(MOST_ATTEMPTS - 1)],  # backoff
        "retry_condition_fn": another_attempt_is_due,
    }


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


@task(name="ingest", task_run_name="ingest {config.dataset}", **stage_options("ingest"))
def ingest(config: PipelineConfig, variant: str | None, raw: Artifact, on_bad_rows: str, compute: Compute) -> Artifact:
    """Raw captures -> validated Parquet captures."""
    return supervise("ingest", config, variant, {"raw": raw, "on_bad_rows": on_bad_rows}, compute)


@task(name="build-graphs", task_run_name="graphs {config.dataset}", **stage_options("graphs"))
def build_graphs(config: PipelineConfig, variant: str | None, captures: Artifact, compute: Compute) -> Artifact:
    """Parquet captures -> graphs and vocabulary."""
    return supervise("graphs", config, variant, {"captures": captures}, compute)


@task(name="train-vgae", task_run_name="vgae {variant}", **stage_options("vgae"))
def train_vgae(config: PipelineConfig, variant: str, graphs: Artifact, teacher: Artifact | None, compute: Compute) -> Artifact:
    """Graphs -> autoencoder."""
    return supervise("vgae", config, variant, {"graphs": graphs, "teacher": teacher}, compute)


@task(name="train-gat", task_run_name="gat {variant}", **stage_options("gat"))
def train_gat(
    config: PipelineConfig,
    variant: str,
    graphs: Artifact,
    vgae: Artifact | None,
    teacher: Artifact | None,
    compute: Compute,
) -> Artifact:
    """Graphs and the autoencoder's ranking -> classifier."""
    return supervise("gat", config, variant, {"graphs": graphs, "vgae": vgae, "teacher": teacher}, compute)


@task(name="train-fusion", task_run_name="fusion {variant}", **stage_options("fusion"))
def train_fusion(
    config: PipelineConfig, variant: str, graphs: Artifact, vgae: Artifact, gat: Artifact, compute: Compute
) -> Artifact:
    """Autoencoder and classifier -> fusion."""
    return supervise("fusion", config, variant, {"graphs": graphs, "vgae": vgae, "gat": gat}, compute)


@task(name="evaluate", task_run_name="evaluate {label} on {config.dataset}", **stage_options("evaluation"))
def evaluate(
    config: PipelineConfig,
    variant: str,
    label: str,
    graphs: Artifact,
    vgae: Artifact | None,
    gat: Artifact | None,
    fusion: Artifact | None,
    compute: Compute,
    occasion: str = "training",
) -> Artifact:
    """Models -> metrics on every test split. `label`, the variant, stands in the metrics and so is an input."""
    inputs = {"label": label, "graphs": graphs, "vgae": vgae, "gat": gat, "fusion": fusion, "occasion": occasion}
    return supervise("evaluation", config, variant, inputs, compute)


@task(name="measure-drift", task_run_name="drift {variant} on {config.dataset}", **stage_options("drift"))
def measure_drift(config: PipelineConfig, variant: str, reference: Artifact, graphs: Artifact, compute: Compute) -> Artifact:
    """Graphs of tonight and of a model's training -> how far apart they are."""
    return supervise("drift", config, variant, {"reference": reference, "graphs": graphs}, compute)


@task(name="pool-datasets", task_run_name="pool of {config.preprocessing.feature_schema} graphs", **stage_options("pool"))
def build_pool(
    config: PipelineConfig, variant: str | None, captures: list[Artifact], datasets: list[str], compute: Compute
) -> Artifact:
    """Captures of several datasets -> one store of graphs."""
    return supervise("pool", config, variant, {"captures": captures, "datasets": datasets}, compute)


@task(name="score-fold", task_run_name="score {variant}", **stage_options("trial"))
def score_fold(
    config: PipelineConfig,
    variant: str,
    graphs: Artifact,
    reference: Artifact | None,
    models: dict[str, Artifact],
    published: dict[str, Artifact],
    compute: Compute,
) -> Artifact:
    """The detectors of one fold and seed -> their scores."""
    inputs = {"graphs": graphs, "reference": reference, "models": models, "published": published}
    return supervise("trial", config, variant, inputs, compute)


@task(name="report-protocol", task_run_name="report {config.dataset}", **stage_options("protocol"))
def report_protocol(
    config: PipelineConfig, variant: str | None, pool: Artifact, trials: list[Artifact], compute: Compute
) -> Artifact:
    """Scores of all folds and seeds -> the tables."""
    return supervise("protocol", config, variant, {"pool": pool, "trials": trials}, compute)


@task(name="score-level", task_run_name="score {variant}", **stage_options("ablation_score"))
def score_level(
    config: PipelineConfig,
    variant: str,
    graphs: Artifact,
    gat: Artifact,
    vgae: Artifact | None,
    fusion: Artifact | None,
    compute: Compute,
) -> Artifact:
    """The classifier, or the fusion, of one level, fold and seed -> its metrics."""
    inputs = {"graphs": graphs, "gat": gat, "vgae": vgae, "fusion": fusion}
    return supervise("ablation_score", config, variant, inputs, compute)


@task(name="report-ablation", task_run_name="report ablation {config.dataset}", **stage_options("ablation"))
def report_ablation(
    config: PipelineConfig,
    variant: str | None,
    table: dict[str, dict[str, str]],
    scores: dict[str, list[Artifact]],
    compute: Compute,
) -> Artifact:
    """Metrics of all levels, folds and seeds -> the table and the plot."""
    return supervise("ablation", config, variant, {"table": table, "scores": scores}, compute)


# Stage -> its task. A task takes config, variant, the stage's inputs by name, and compute.
TASKS: dict[str, Task[..., Artifact]] = {
    "ingest": ingest,
    "graphs": build_graphs,
    "vgae": train_vgae,
    "gat": train_gat,
    "fusion": train_fusion,
    "evaluation": evaluate,
    "drift": measure_drift,
    "pool": build_pool,
    "trial": score_fold,
    "protocol": report_protocol,
    "ablation_score": score_level,
    "ablation": report_ablation,
}

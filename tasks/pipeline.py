"""The stages as Prefect tasks. Each is a thin supervisor in a thread beside the flow; the work is done on a worker.

A task's parameters beside `compute` are what its cache key is made of (see `tasks.caching`).
"""

from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger

from config.catalog import dataset_entry, dataset_folder, find_captures
from config.paths import Paths, default_root
from config.schema import PipelineConfig
from kdgat_models.can.simulate import write_demo
from kdgat_models.errors import StageOutOfMemory
from kdgat_models.files import digest_files, digest_json, write_json
from tasks.artifact import Artifact
from tasks.caching import stage_cache_policy
from tasks.compute import Compute
from tasks.supervise import supervise

SIMULATED = "simulated.json"  # written last: a demo folder that has it is whole


def ran_out_of_memory(task: Task, task_run: TaskRun, state: State) -> bool:
    """Retry condition: only memory is worth another attempt, which asks for more of it."""
    try:
        state.result(raise_on_failure=True)
    except StageOutOfMemory:
        return True
    except Exception:
        return False
    return False


def stage_options(stage: str) -> dict[str, Any]:
    """Options that all stage tasks share."""
    return {
        "cache_policy": stage_cache_policy(stage),
        "persist_result": True,
        "result_serializer": "json",
        "retries": 2,
        "retry_condition_fn": ran_out_of_memory,
    }


@task(name="find-captures", task_run_name="find {dataset}")
def find_raw(dataset: str, data_dir: Path | None) -> Artifact:
    """The raw captures of a dataset and the digest of their content; a simulated dataset is written first."""
    paths = Paths(default_root())
    folder = dataset_folder(dataset, data_dir, paths)
    if dataset_entry(dataset).simulated and data_dir is None and not (folder / SIMULATED).exists():
        files = write_demo(folder)
        write_json(folder / SIMULATED, {"captures": len(files)})
    found = find_captures(dataset, folder)
    for split in found.absent:
        get_run_logger().info("%s has no split %s: skipped", dataset, split)
    files = [file for split in found.captures.values() for file in split]
    digest = digest_json([[str(file.relative_to(folder)), digest_files([file])] for file in files])
    return Artifact(kind="raw", path=folder, digest=digest, summary={"captures": len(files), "absent_splits": found.absent})


@task(name="ingest", task_run_name="ingest {config.dataset}", **stage_options("ingest"))
def ingest(config: PipelineConfig, raw: Artifact, on_bad_rows: str, compute: Compute) -> Artifact:
    """Raw captures -> validated Parquet captures."""
    return supervise("ingest", config, {"raw": raw, "on_bad_rows": on_bad_rows}, compute)


@task(name="build-graphs", task_run_name="graphs {config.dataset}", **stage_options("graphs"))
def build_graphs(config: PipelineConfig, captures: Artifact, compute: Compute) -> Artifact:
    """Parquet captures -> graphs and vocabulary."""
    return supervise("graphs", config, {"captures": captures}, compute)


@task(name="train-vgae", task_run_name="vgae {config.label}", **stage_options("vgae"))
def train_vgae(config: PipelineConfig, graphs: Artifact, teacher: Artifact | None, compute: Compute) -> Artifact:
    """Graphs -> autoencoder."""
    return supervise("vgae", config, {"graphs": graphs, "teacher": teacher}, compute)


@task(name="train-gat", task_run_name="gat {config.label}", **stage_options("gat"))
def train_gat(
    config: PipelineConfig, graphs: Artifact, vgae: Artifact | None, teacher: Artifact | None, compute: Compute
) -> Artifact:
    """Graphs and the autoencoder's ranking -> classifier."""
    return supervise("gat", config, {"graphs": graphs, "vgae": vgae, "teacher": teacher}, compute)


@task(name="train-fusion", task_run_name="fusion {config.scale}", **stage_options("fusion"))
def train_fusion(config: PipelineConfig, graphs: Artifact, vgae: Artifact, gat: Artifact, compute: Compute) -> Artifact:
    """Autoencoder and classifier -> fusion."""
    return supervise("fusion", config, {"graphs": graphs, "vgae": vgae, "gat": gat}, compute)


@task(name="evaluate", task_run_name="evaluate {variant}", **stage_options("evaluation"))
def evaluate(
    config: PipelineConfig,
    variant: str,
    graphs: Artifact,
    vgae: Artifact | None,
    gat: Artifact | None,
    fusion: Artifact | None,
    compute: Compute,
) -> Artifact:
    """Models -> metrics on every test split."""
    inputs = {"variant": variant, "graphs": graphs, "vgae": vgae, "gat": gat, "fusion": fusion}
    return supervise("evaluation", config, inputs, compute)

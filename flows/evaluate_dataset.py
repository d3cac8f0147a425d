"""Trained models of a dataset, evaluated on a dataset's test splits; nothing is trained."""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from config.paths import Paths, default_root
from tasks.artifact import Artifact
from tasks.compute import open_compute
from tasks.pipeline import build_graphs, evaluate, find_raw, ingest
from tasks.plan import Variant, plan_evaluation


@flow(name="evaluate-dataset", flow_run_name="evaluate {dataset}", task_runner=ThreadPoolTaskRunner(max_workers=4))
def evaluate_dataset(
    dataset: Annotated[str, Field(description="Dataset whose test splits are evaluated.")] = "demo",
    data_dir: Annotated[Path | None, Field(description="Folder that holds DATASET/SPLIT/*.csv; none for demo.")] = None,
    variants: Annotated[list[Variant], Field(description="Trained variants to evaluate.")] = [
        "large",
        "small_kd",
        "small_nokd",
    ],  # noqa: B006
    overrides: Annotated[dict[str, Any] | None, Field(description="Settings by dotted name, as in training.")] = None,
    on_bad_rows: Annotated[
        Literal["error", "quarantine"], Field(description="What to do with rows that are no frames.")
    ] = "error",
    runner: Annotated[Literal["local"], Field(description="Where stages run.")] = "local",
) -> list[Artifact]:
    """Evaluate the newest models of each variant at the thresholds in their checkpoints."""
    paths = Paths(default_root())
    plan = plan_evaluation(dataset, paths, variants=variants, overrides=overrides)
    raw = find_raw(dataset, data_dir)
    with open_compute(runner, paths.cache / "dask") as compute:
        captures = ingest(plan.config, raw, on_bad_rows, compute)
        graphs = build_graphs(plan.config, captures, compute)
        evaluations = [
            evaluate.submit(
                variant.configs["dqn"],
                variant.name,
                graphs,
                variant.earlier["vgae"],
                variant.earlier["gat"],
                variant.earlier["dqn"],
                compute,
            )
            for variant in plan.variants
        ]
        return [evaluation.result() for evaluation in evaluations]

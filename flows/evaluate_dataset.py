"""Trained models of a dataset, evaluated on its test splits as they are now; nothing is trained."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from config.paths import Paths, default_root
from config.sections import BadRows
from tasks.artifact import Artifact
from tasks.execution.engine import find_raw
from tasks.execution.submitter import Submitter
from tasks.execution.task_runner import on_workers
from tasks.parameters import DatasetName, Overrides, Runner, Variant
from tasks.plans.training import plan_evaluation
from tasks.stages.table import build_graphs, evaluate_models, ingest_captures


@flow(name="evaluate-dataset", flow_run_name="evaluate {dataset}", task_runner=on_workers(4))
def evaluate_dataset(
    dataset: DatasetName = "demo",
    data_dir: Path | None = None,
    variants: tuple[Variant, ...] | None = None,
    overrides: Overrides = None,
    on_bad_rows: BadRows = "error",
    runner: Runner = "local",
) -> list[Artifact]:
    """Evaluate the newest models of each variant at the thresholds in their checkpoints.

    Args:
        dataset: Name in the catalogue; `kdgat datasets` lists them.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none for demo, which is simulated.
        variants: Trained variants to evaluate; none: all that are trained.
        overrides: Settings by name, such as decision.rule, for all models, or small_kd:decision.rule for those of one variant.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        runner: Where stages run: local, slurm or slurm:PROFILE.
    """
    paths = Paths(default_root())
    plan = plan_evaluation(dataset, paths, variants=variants, overrides=overrides)
    for note in plan.notes:
        get_run_logger().warning(note)
    raw = find_raw(dataset, data_dir)
    with Submitter() as stages:
        captures = ingest_captures.submit(plan.config, raw=raw, on_bad_rows=on_bad_rows)
        graphs = build_graphs.submit(plan.config, captures=captures)
        evaluations = [
            evaluate_models.submit(
                config["fusion"], name, label=name, graphs=graphs, vgae=found["vgae"], gat=found["gat"], fusion=found["fusion"]
            )
            for name, config, _, found, _ in plan.variants
        ]
        return stages.results(*evaluations)

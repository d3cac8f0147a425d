"""Trained models of a dataset, evaluated on its test splits as they are now; nothing is trained."""

from pathlib import Path

from prefect import flow

from config.paths import Paths, default_root
from tasks.artifact import Artifact
from tasks.compute import open_compute
from tasks.parameters import ALL_VARIANTS, BadRows, Overrides, Runner, Variant
from tasks.pipeline import build_graphs, current_run, evaluate, find_raw, ingest, results, side_by_side
from tasks.plan import plan_evaluation


@flow(name="evaluate-dataset", flow_run_name="evaluate {dataset}", task_runner=side_by_side(4))
def evaluate_dataset(
    dataset: str = "demo",
    data_dir: Path | None = None,
    variants: tuple[Variant, ...] = ALL_VARIANTS,
    overrides: Overrides = None,
    on_bad_rows: BadRows = "error",
    runner: Runner = "local",
) -> list[Artifact]:
    """Evaluate the newest models of each variant at the thresholds in their checkpoints.

    Args:
        dataset: Name in the catalogue; `kdgat datasets` lists them.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none for demo, which is simulated.
        variants: Trained variants to evaluate.
        overrides: Settings by dotted name, such as training.lr, for all models.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        runner: Where stages run.
    """
    paths = Paths(default_root())
    plan = plan_evaluation(dataset, paths, variants=variants, overrides=overrides)
    raw = find_raw(dataset, data_dir)
    with open_compute(runner, paths, current_run()) as compute:
        captures = ingest(plan.config, raw, on_bad_rows, compute)
        graphs = build_graphs(plan.config, captures, compute)
        evaluations = [
            evaluate.submit(config["dqn"], name, graphs, found["vgae"], found["gat"], found["dqn"], compute)
            for name, config, _, found, _ in plan.variants
        ]
        return results(evaluations, evaluations)

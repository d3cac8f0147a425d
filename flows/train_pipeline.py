"""The main job: recorded traffic in, distilled and evaluated detectors out."""

# Prefect takes futures where a task wants their results, which its types do not say.
# pyright: reportArgumentType=false

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from config.paths import Paths, default_root
from tasks.artifact import Artifact
from tasks.compute import open_compute
from tasks.parameters import ALL_MODELS, ALL_VARIANTS, BadRows, Distillation, ModelName, Overrides, Runner, Teachers, Variant
from tasks.pipeline import (
    build_graphs,
    current_run,
    evaluate,
    find_raw,
    ingest,
    results,
    side_by_side,
    train_fusion,
    train_gat,
    train_vgae,
)
from tasks.plan import plan_pipeline


@flow(name="train-pipeline", flow_run_name="train {dataset}", task_runner=side_by_side(16))
def train_pipeline(
    dataset: str = "demo",
    data_dir: Path | None = None,
    variants: tuple[Variant, ...] = ALL_VARIANTS,
    models: tuple[ModelName, ...] = ALL_MODELS,
    distillation: tuple[Distillation, ...] | None = None,
    teachers: Teachers = None,
    overrides: Overrides = None,
    on_bad_rows: BadRows = "error",
    runner: Runner = "local",
) -> list[Artifact]:
    """Captures become graphs; each variant trains autoencoder, classifier and fusion on them and is evaluated.

    Args:
        dataset: Name in the catalogue; `kdgat datasets` lists them.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none for demo, which is simulated.
        variants: Teachers, students distilled from them, and students without a teacher.
        models: What to train; dqn is the fusion.
        distillation: For vgae, gat, dqn of small_kd; none is with-kd, with-kd, no-kd. A shorter list is padded with no-kd.
        teachers: Run folders of teachers by model; none: those of this run, or the newest large ones.
        overrides: Settings by dotted name, such as training.lr, for all models.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        runner: Where stages run.
    """
    paths = Paths(default_root())
    plan = plan_pipeline(
        dataset, paths, variants=variants, models=models, distillation=distillation, teachers=teachers, overrides=overrides
    )
    for note in plan.notes:
        get_run_logger().warning(note)
    raw = find_raw(dataset, data_dir)
    with open_compute(runner, paths, current_run()) as compute:
        captures = ingest(plan.config, raw, on_bad_rows, compute)
        graphs = build_graphs(plan.config, captures, compute)
        evaluations, stages, large = [], [], {}
        for name, config, trains, earlier, teacher in plan.variants:
            built: dict[str, Any] = dict(earlier)
            if "vgae" in trains:
                built["vgae"] = train_vgae.submit(config["vgae"], name, graphs, teacher["vgae"] or large.get("vgae"), compute)
            if "gat" in trains:
                built["gat"] = train_gat.submit(
                    config["gat"], name, graphs, built["vgae"], teacher["gat"] or large.get("gat"), compute
                )
            if "dqn" in trains:
                built["dqn"] = train_fusion.submit(config["dqn"], name, graphs, built["vgae"], built["gat"], compute)
            evaluations.append(evaluate.submit(config["dqn"], name, graphs, built["vgae"], built["gat"], built["dqn"], compute))
            stages += [built[model] for model in trains] + evaluations[-1:]
            large = built if name == "large" else large
        return results(evaluations, stages)

"""The main job: recorded traffic in, distilled and evaluated detectors out."""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.logging import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from config.paths import Paths, default_root
from tasks.artifact import Artifact
from tasks.compute import open_compute
from tasks.pipeline import build_graphs, evaluate, find_raw, ingest, train_fusion, train_gat, train_vgae
from tasks.plan import Distillation, ModelName, Variant, plan_pipeline


@flow(name="train-pipeline", flow_run_name="train {dataset}", task_runner=ThreadPoolTaskRunner(max_workers=16))
def train_pipeline(
    dataset: Annotated[str, Field(description="Name in the catalogue, see `kdgat datasets`.")] = "demo",
    data_dir: Annotated[Path | None, Field(description="Folder that holds DATASET/SPLIT/*.csv; none for demo.")] = None,
    variants: Annotated[list[Variant], Field(description="What to build.")] = ["large", "small_kd", "small_nokd"],  # noqa: B006
    models: Annotated[list[ModelName], Field(description="What to train; dqn is the fusion.")] = ["vgae", "gat", "dqn"],  # noqa: B006
    distillation: Annotated[
        list[Distillation] | None, Field(description="For vgae, gat, dqn of small_kd; none: with-kd, with-kd, no-kd.")
    ] = None,
    teachers: Annotated[dict[str, Path] | None, Field(description="Run folders of teachers by model, to use those.")] = None,
    overrides: Annotated[dict[str, Any] | None, Field(description="Settings by dotted name, such as training.lr.")] = None,
    on_bad_rows: Annotated[
        Literal["error", "quarantine"], Field(description="What to do with rows that are no frames.")
    ] = "error",
    runner: Annotated[Literal["local"], Field(description="Where stages run.")] = "local",
) -> list[Artifact]:
    """Ingest, graphs, and for each variant autoencoder, classifier, fusion and evaluation."""
    paths = Paths(default_root())
    plan = plan_pipeline(
        dataset, paths, variants=variants, models=models, distillation=distillation, teachers=teachers, overrides=overrides
    )
    for note in plan.notes:
        get_run_logger().warning(note)
    raw = find_raw(dataset, data_dir)
    large, evaluations = {}, []
    with open_compute(runner, paths.cache / "dask") as compute:
        captures = ingest(plan.config, raw, on_bad_rows, compute)
        graphs = build_graphs(plan.config, captures, compute)
        for variant in plan.variants:
            built: dict[str, Any] = dict(variant.earlier)
            config, teacher = variant.configs, {**large, **{k: v for k, v in variant.teachers.items() if v}}
            if "vgae" in variant.trains:
                built["vgae"] = train_vgae.submit(config["vgae"], graphs, teacher.get("vgae"), compute)
            if "gat" in variant.trains:
                built["gat"] = train_gat.submit(config["gat"], graphs, built["vgae"], teacher.get("gat"), compute)
            if "dqn" in variant.trains:
                built["dqn"] = train_fusion.submit(config["dqn"], graphs, built["vgae"], built["gat"], compute)
            evaluations.append(
                evaluate.submit(config["dqn"], variant.name, graphs, built["vgae"], built["gat"], built["dqn"], compute)
            )
            large = built if variant.name == "large" else large
        return [evaluation.result() for evaluation in evaluations]

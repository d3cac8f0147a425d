"""The main job: recorded traffic in, distilled and evaluated detectors out."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import Field

from config.paths import Paths, default_root
from config.sections import BadRows
from config.variants import DEFAULT_VARIANTS
from tasks.artifact import Artifact
from tasks.execution.compute import open_compute
from tasks.execution.engine import current_run, find_raw, side_by_side
from tasks.execution.limits import one_at_a_time
from tasks.execution.submitter import Submitter
from tasks.parameters import (
    ALL_MODELS,
    DatasetName,
    Distillation,
    ModelName,
    Overrides,
    Resources,
    Runner,
    Teachers,
    Variant,
)
from tasks.plans.checks import RunRequest, planned_run
from tasks.plans.nightly import register_champions
from tasks.plans.training import PipelinePlan, all_settings
from tasks.stages.table import build_graphs, evaluate_models, ingest_captures, train_fusion, train_gat, train_vgae


@flow(name="train-pipeline", flow_run_name="train {dataset}", task_runner=side_by_side(16))
def train_pipeline(
    dataset: DatasetName = "demo",
    data_dir: Path | None = None,
    variants: tuple[Variant, ...] = DEFAULT_VARIANTS,
    models: tuple[ModelName, ...] = ALL_MODELS,
    distillation: tuple[Distillation, ...] | None = None,
    teachers: Teachers = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    overrides: Overrides = None,
    resources: Resources = None,
    on_bad_rows: BadRows = "error",
    as_champions: bool = False,
    runner: Runner = "local",
) -> list[Artifact]:
    """Captures become graphs; each variant trains autoencoder, classifier and fusion on them and is evaluated.

    Args:
        dataset: Name in the catalogue; `kdgat datasets` lists them.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none for demo, which is simulated.
        variants: Teachers, students distilled from them (all that can be, or one model), students without a teacher.
        models: What to train; dqn is the fusion.
        distillation: with-kd or no-kd for each of models, in the same order; a shorter list is padded with no-kd. with-kd
            needs a teacher; dqn cannot have one. None: whatever can be distilled in a _kd variant is.
        teachers: Run folders of teachers by model; none: those of this run, or the newest large ones that can teach.
        seed: Seed of everything that is random.
        overrides: Settings by name, such as training.lr, for all models, or small_kd:training.lr for those of one variant.
        resources: Memory that stages ask for, and how often they are tried; none is the configured.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        as_champions: Make the evaluated models champions, which the nightly re-evaluation watches.
        runner: Where stages run: local, slurm or slurm:PROFILE.
    """
    paths = Paths(default_root())
    settings = all_settings(overrides, seed, resources)
    request = RunRequest(dataset, data_dir, variants, models, distillation, teachers, settings, on_bad_rows, runner)
    plan = planned_run(request, paths)
    for note in plan.notes:
        get_run_logger().warning(note)
    names = [variant.name for variant in plan.variants]
    raw = find_raw(dataset, data_dir)
    with one_at_a_time(paths, "train", dataset, names), open_compute(runner, paths, current_run()), Submitter() as stages:
        evaluations = stages.results(*method(plan, raw, on_bad_rows))
    if as_champions:
        register_champions(evaluations)
    return evaluations


def method(plan: PipelinePlan, raw: Artifact, on_bad_rows: BadRows) -> list[Artifact]:
    """Submit every stage of the pipeline in order; returns what stands for the evaluations."""
    captures = ingest_captures.submit(plan.config, raw=raw, on_bad_rows=on_bad_rows)
    graphs = build_graphs.submit(plan.config, captures=captures)
    evaluations, large = [], {}
    for name, config, trains, earlier, given in plan.variants:
        built: dict[str, Any] = dict(earlier)
        teacher = {model: given[model] or large.get(model) for model in config if config[model].auxiliary.distils}
        if "vgae" in trains:
            built["vgae"] = train_vgae.submit(config["vgae"], name, graphs=graphs, teacher=teacher.get("vgae"))
        if "gat" in trains:
            ranking = built["vgae"] if config["gat"].curriculum.ranked else None
            built["gat"] = train_gat.submit(config["gat"], name, graphs=graphs, vgae=ranking, teacher=teacher.get("gat"))
        if "dqn" in trains:
            built["dqn"] = train_fusion.submit(config["dqn"], name, graphs=graphs, vgae=built["vgae"], gat=built["gat"])
        evaluation = evaluate_models.submit(
            config["dqn"], name, label=name, graphs=graphs, vgae=built["vgae"], gat=built["gat"], fusion=built["dqn"]
        )
        evaluations.append(evaluation)
        large = built if name == "large" else large
    return evaluations

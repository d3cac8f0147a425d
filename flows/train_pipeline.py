"""The main job: recorded traffic in, distilled and evaluated detectors out."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import Field

from config.paths import Paths, default_root
from config.schema import PipelineConfig
from config.sections import BadRows
from config.variants import DEFAULT_VARIANTS
from tasks.artifact import Artifact
from tasks.execution.engine import current_run, find_raw
from tasks.execution.limits import one_at_a_time
from tasks.execution.submitter import Submitter
from tasks.execution.task_runner import on_workers
from tasks.hooks import AfterPipeline, BeforePipeline, tell
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
from tasks.plans.sequence import GIVEN, Made, Step
from tasks.plans.training import PipelinePlan, VariantPlan, all_settings
from tasks.stage import behind
from tasks.stages.table import build_graphs, evaluate_models, ingest_captures, train_fusion, train_gat, train_vgae


@flow(name="train-pipeline", flow_run_name="train {dataset}", task_runner=on_workers(16))
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
        models: What to train.
        distillation: with-kd or no-kd for each of models, in the same order; a shorter list is padded with no-kd. with-kd
            needs a teacher; fusion cannot have one. None: whatever can be distilled in a _kd variant is.
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
    names = tuple(variant.name for variant in plan.variants)
    tell(BeforePipeline(dataset, names, plan.config, current_run()), plan.config, get_run_logger().warning)
    raw = find_raw(dataset, data_dir)
    one_at_a_time(paths, "train", dataset, names)
    with Submitter() as stages:
        evaluations = stages.results(*submit_stages(plan, raw, on_bad_rows))
    tell(AfterPipeline(dataset, names, plan.config, current_run(), tuple(evaluations)), plan.config, get_run_logger().warning)
    if as_champions:
        register_champions(evaluations)
    return evaluations


def submit_stages(plan: PipelinePlan, raw: Artifact, on_bad_rows: BadRows) -> list[Artifact]:
    """Submit every stage in the order of `pipeline.stages`; returns what stands for the evaluations."""
    shared = Made({"raw": raw}, {})
    for step in plan.steps.shared:
        with behind(shared.inserted):
            shared = shared.and_then(step, shared_stage(step, plan.config, shared, on_bad_rows))
    large, evaluations = shared, []
    for variant in plan.variants:
        made = Made({**shared.artifacts, **variant.known()}, shared.inserted)
        for step in plan.steps.of_variant:
            with behind(made.inserted):
                made = made.and_then(step, stage_of(step, variant, made, large))
        large = made if variant.name == "large" else large
        evaluations += [made["evaluation"]] if "evaluation" in made.artifacts else []
    return evaluations


def shared_stage(step: Step, config: PipelineConfig, made: Made, on_bad_rows: BadRows) -> Artifact:
    """Submit a stage that runs once, for all variants."""
    match step.name:
        case "ingest":
            return ingest_captures.submit(config, raw=made["raw"], on_bad_rows=on_bad_rows)
        case "graphs":
            return build_graphs.submit(config, captures=made["captures"])
    return inserted(step, config, None, made)


def stage_of(step: Step, variant: VariantPlan, made: Made, large: Made) -> Artifact | None:
    """Submit a stage of a variant; None: this run does not train that model. `large` has the teachers of this run."""
    name, config = variant.name, variant.configs
    vgae, gat, fusion = (made.get(model) for model in ("vgae", "gat", "fusion"))
    match step.name:
        case "vgae":
            if "vgae" in variant.trains:
                teacher = variant.teacher("vgae", large.get("vgae"))
                return train_vgae.submit(config["vgae"], name, graphs=made["graphs"], teacher=teacher)
        case "gat":
            if "gat" in variant.trains:
                teacher, ranking = variant.teacher("gat", large.get("gat")), vgae if config["gat"].curriculum.ranked else None
                return train_gat.submit(config["gat"], name, graphs=made["graphs"], vgae=ranking, teacher=teacher)
        case "fusion":
            if "fusion" in variant.trains:
                return train_fusion.submit(config["fusion"], name, graphs=made["graphs"], vgae=made["vgae"], gat=made["gat"])
        case "evaluation":
            return evaluate_models.submit(
                config["fusion"], name, label=name, graphs=made["graphs"], vgae=vgae, gat=gat, fusion=fusion
            )
        case _:
            return inserted(step, config["fusion"], name, made)
    return None


def inserted(step: Step, config: PipelineConfig, variant: str | None, made: Made) -> Artifact:
    """Submit a stage that somebody wrote."""
    there = {name: artifact for name, artifact in made.artifacts.items() if name != GIVEN}
    return step.stage.submit(config, variant, reference=step.reference, of_variant=variant, artifacts=there)

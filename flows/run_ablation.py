"""What each choice of the method is worth: one at a time is changed, on every fold of a protocol, over several seeds."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from config.paths import Paths, default_root
from config.sections import BadRows
from tasks.artifact import Artifact
from tasks.execution.engine import find_raw
from tasks.execution.limits import one_at_a_time
from tasks.execution.submitter import Submitter
from tasks.execution.task_runner import on_workers
from tasks.parameters import FactorName, Overrides, ProtocolName, Resources, Runner
from tasks.plans.ablation import AblationPlan, GraphsOfFold, Shared, chosen_folds, plan_ablation
from tasks.plans.training import all_settings
from tasks.stages.table import (
    ingest_captures,
    pool_datasets,
    report_ablation,
    score_level,
    train_fusion,
    train_gat,
    train_vgae,
)


@flow(name="run-ablation", flow_run_name="{protocol}", task_runner=on_workers(16))
def run_ablation(
    protocol: ProtocolName = "leave-one-vehicle-out",
    data_dir: Path | None = None,
    datasets: tuple[str, ...] | None = None,
    seeds: Annotated[int, Field(ge=1)] = 3,
    factors: tuple[FactorName, ...] | None = None,
    folds: tuple[str, ...] | None = None,
    overrides: Overrides = None,
    resources: Resources = None,
    on_bad_rows: BadRows = "error",
    runner: Runner = "local",
) -> list[Artifact]:
    """Change one choice of the method at a time, and report what each change does to the figures.

    Args:
        protocol: What is trained on what, by its name.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none: the simulated demo.
        datasets: Names in the catalogue; none: all that lie below data_dir.
        seeds: Seeds 0, 1, ... of everything that is random.
        factors: The choices that are varied; none: all.
        folds: Names of folds; none: all.
        overrides: Settings by dotted name, such as training.max_epochs, for all models; not those that a factor varies.
        resources: Memory that stages ask for, and how often they are tried; none is the configured.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        runner: Where stages run: local, slurm or slurm:PROFILE.
    """
    paths = Paths(default_root())
    settings = all_settings(overrides, 0, resources)
    plan = plan_ablation(protocol, data_dir, datasets, factors, settings, paths)
    one_at_a_time(paths, "ablate", protocol, plan.protocol.datasets)
    with Submitter() as stages:
        pooled = pools(plan, on_bad_rows)
        made = dict(zip(pooled, stages.results(*pooled.values()), strict=True))
        scores: dict[str, list[Artifact]] = {run: [] for run in plan.levels}
        for fold in chosen_folds(plan, made, folds, paths):
            for seed in range(seeds):
                for run, score in levels(plan, fold, seed).items():
                    scores[run].append(score)
        report = report_ablation.submit(plan.protocol.report, table=plan.table(), scores=scores)
        return stages.results(report)


def pools(plan: AblationPlan, on_bad_rows: BadRows) -> dict[str, Artifact]:
    """Ingest all datasets and put their graphs into one store for each kind of graphs."""
    protocol, datasets = plan.protocol, list(plan.protocol.datasets)
    captures = [
        ingest_captures.submit(protocol.ingest(name), raw=find_raw(name, protocol.data_dir), on_bad_rows=on_bad_rows)
        for name in datasets
    ]
    return {key: pool_datasets.submit(config, captures=captures, datasets=datasets) for key, config in plan.pools().items()}


def levels(plan: AblationPlan, fold: GraphsOfFold, seed: int) -> dict[str, Artifact]:
    """Train and score all levels on one fold with one seed; what several of them stand on is trained once."""
    graphs, name = fold.graphs[plan.pool_of("base")], f"{fold.name} seed {seed}"
    teacher = vgae = None
    if any(map(plan.needs_teacher, plan.levels)):
        teacher = train_gat.submit(plan.teacher(seed), f"teacher {name}", graphs=graphs, vgae=None, teacher=None)
    if any(map(plan.needs_autoencoder, plan.levels)):
        vgae = train_vgae.submit(plan.autoencoder(seed), f"vgae {name}", graphs=graphs, teacher=None)
    shared = Shared(teacher, vgae)
    base = classifier(plan, "base", fold, seed, shared)
    scores = {}
    for run in plan.levels:
        config, variant, mine = plan.classifier(run, seed), f"{run} {name}", fold.graphs[plan.pool_of(run)]
        if plan.fused(run):
            assert vgae is not None
            fusion = train_fusion.submit(plan.fusion(run, seed), variant, graphs=mine, vgae=vgae, gat=base)
            scores[run] = score_level.submit(config, variant, graphs=mine, gat=base, vgae=vgae, fusion=fusion)
            continue
        gat = base if run == "base" else classifier(plan, run, fold, seed, shared)
        scores[run] = score_level.submit(config, variant, graphs=mine, gat=gat, vgae=None, fusion=None)
    return scores


def classifier(plan: AblationPlan, run: str, fold: GraphsOfFold, seed: int, shared: Shared) -> Artifact:
    """Train the classifier of a level, with the teacher and the autoencoder that it asks for."""
    graphs = fold.graphs[plan.pool_of(run)]
    teacher = shared.teacher if plan.needs_teacher(run) else None
    vgae = shared.vgae if plan.ranked(run) else None
    variant = f"{run} {fold.name} seed {seed}"
    return train_gat.submit(plan.classifier(run, seed), variant, graphs=graphs, vgae=vgae, teacher=teacher)

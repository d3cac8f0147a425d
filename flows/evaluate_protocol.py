"""Detectors on what they have never seen: every fold of a protocol, over several seeds, beside the baselines."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from config.paths import Paths, default_root
from config.sections import BadRows, Method
from tasks.artifact import Artifact
from tasks.execution.engine import find_raw
from tasks.execution.limits import one_at_a_time
from tasks.execution.submitter import Submitter
from tasks.execution.task_runner import on_workers
from tasks.parameters import Overrides, ProtocolName, Resources, Runner
from tasks.plans.protocol import ProtocolPlan, fold_artifacts, plan_protocol
from tasks.plans.training import all_settings
from tasks.stages.table import ingest_captures, pool_datasets, report_protocol, score_fold, train_gat, train_vgae


@flow(name="evaluate-protocol", flow_run_name="{protocol}", task_runner=on_workers(16))
def evaluate_protocol(
    protocol: ProtocolName = "leave-one-vehicle-out",
    data_dir: Path | None = None,
    datasets: tuple[str, ...] | None = None,
    seeds: Annotated[int, Field(ge=1)] = 3,
    overrides: Overrides = None,
    resources: Resources = None,
    on_bad_rows: BadRows = "error",
    runner: Runner = "local",
) -> list[Artifact]:
    """Train and score teacher, student and baselines on every fold of a protocol, and report them in one table.

    Args:
        protocol: What is trained on what, by its name.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none: the simulated demo.
        datasets: Names in the catalogue; none: all that lie below data_dir.
        seeds: Seeds 0, 1, ... of everything that is random.
        overrides: Settings by dotted name, such as training.max_epochs, for all models.
        resources: Memory that stages ask for, and how often they are tried; none is the configured.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        runner: Where stages run: local, slurm or slurm:PROFILE.
    """
    paths = Paths(default_root())
    plan = plan_protocol(protocol, data_dir, datasets, all_settings(overrides, 0, resources), paths)
    one_at_a_time(paths, "protocol", protocol, plan.datasets)
    with Submitter() as stages:
        captures = ingested(plan, on_bad_rows)
        pool, published_pool = stages.results(*(pooled(plan, captures, method) for method in ("relative", "published")))
        trials = []
        for fold, graphs, published_graphs in fold_artifacts(protocol, pool, published_pool, paths):
            for seed in range(seeds):
                trials.append(trial(plan, fold.name, seed, graphs, published_graphs))
        report = report_protocol.submit(plan.report, pool=pool, trials=trials)
        return stages.results(report)


def ingested(plan: ProtocolPlan, on_bad_rows: BadRows) -> list[Artifact]:
    """Ingest all datasets, each once."""
    return [
        ingest_captures.submit(plan.ingest(dataset), raw=find_raw(dataset, plan.data_dir), on_bad_rows=on_bad_rows)
        for dataset in plan.datasets
    ]


def pooled(plan: ProtocolPlan, captures: list[Artifact], method: Method) -> Artifact:
    """Put the graphs of all datasets into one store."""
    config = plan.config("vgae", "small", 0, method=method)
    return pool_datasets.submit(config, captures=captures, datasets=list(plan.datasets))


def trial(plan: ProtocolPlan, fold: str, seed: int, graphs: Artifact, published_graphs: Artifact) -> Artifact:
    """Train the models of one fold and seed and score everything. The published classifier is trained for one seed."""
    name = f"{fold} seed {seed}"
    large = plan.config("gat", "large", seed)
    teacher = train_gat.submit(large, f"teacher {name}", graphs=graphs, vgae=None, teacher=None)
    student = train_gat.submit(plan.student(seed), f"student {name}", graphs=graphs, vgae=None, teacher=teacher)
    autoencoder = train_vgae.submit(plan.config("vgae", "small", seed), f"vgae {name}", graphs=graphs, teacher=None)
    models = {"teacher": teacher, "student": student, "vgae": autoencoder}
    published: dict[str, Artifact] = {}
    if seed == 0:
        config = plan.published(seed)
        classifier = train_gat.submit(config, f"published {name}", graphs=published_graphs, vgae=None, teacher=None)
        published = {"gat_reference": classifier}
    return score_fold.submit(large, name, graphs=graphs, published_graphs=published_graphs, models=models, published=published)

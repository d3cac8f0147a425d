"""Detectors on what they have never seen: every fold of a protocol, over several seeds, beside the baselines."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from config.paths import Paths, default_root
from tasks.artifact import Artifact
from tasks.execution.compute import open_compute
from tasks.execution.engine import Submit, current_run, find_raw, side_by_side
from tasks.execution.limits import one_at_a_time
from tasks.execution.submitter import Submitter
from tasks.parameters import BadRows, Overrides, ProtocolName, Resources, Runner
from tasks.plans.protocol import ProtocolPlan, fold_artifacts, plan_protocol
from tasks.plans.training import all_settings


@flow(name="evaluate-protocol", flow_run_name="{protocol}", task_runner=side_by_side(16))
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
        protocol: What is trained on what: official, leave-one-vehicle-out, leave-one-attack-out or cross-dataset.
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
    with one_at_a_time(paths, "protocol", protocol, plan.datasets), open_compute(runner, paths, current_run()) as compute:
        submit = Submitter(compute)
        captures = ingested(plan, on_bad_rows, submit)
        pools = [pooled(plan, captures, submit, method) for method in ("relative", "published")]
        pool, reference = submit.results(*pools)
        trials = []
        for fold, graphs, reference_graphs in fold_artifacts(protocol, pool, reference, paths):
            for seed in range(seeds):
                trials.append(trial(plan, fold.name, seed, graphs, reference_graphs, submit))
        report = submit("protocol", plan.config("gat", "large", 0), None, pool=pool, trials=trials)
        return submit.results(report)


def ingested(plan: ProtocolPlan, on_bad_rows: str, submit: Submit) -> list[Any]:
    """Ingest all datasets, each once."""
    return [
        submit("ingest", plan.ingest(dataset), None, raw=find_raw(dataset, plan.data_dir), on_bad_rows=on_bad_rows)
        for dataset in plan.datasets
    ]


def pooled(plan: ProtocolPlan, captures: list[Any], submit: Submit, method: str) -> Any:
    """Put the graphs of all datasets into one store."""
    config = plan.config("vgae", "small", 0, method=method)
    return submit("pool", config, None, captures=captures, datasets=list(plan.datasets))


def trial(plan: ProtocolPlan, fold: str, seed: int, graphs: Any, reference: Any, submit: Submit) -> Any:
    """Train the models of one fold and seed and score everything. The published classifier is trained for one seed."""
    name = f"{fold} seed {seed}"
    large = plan.config("gat", "large", seed)
    teacher = submit("gat", large, f"teacher {name}", graphs=graphs, vgae=None, teacher=None)
    student = submit("gat", plan.student(seed), f"student {name}", graphs=graphs, vgae=None, teacher=teacher)
    autoencoder = submit("vgae", plan.config("vgae", "small", seed), f"vgae {name}", graphs=graphs, teacher=None)
    models = {"teacher": teacher, "student": student, "vgae": autoencoder}
    published: dict[str, Any] = {}
    if seed == 0:
        classifier = submit("gat", plan.published(seed), f"published {name}", graphs=reference, vgae=None, teacher=None)
        published = {"gat_reference": classifier}
    return submit("trial", large, name, graphs=graphs, reference=reference, models=models, published=published)

"""Every champion on every dataset as it is tonight, beside what it was last night and when it was registered."""

from datetime import date
from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from config.paths import Paths, default_root
from config.sections import BadRows
from tasks.artifact import Artifact
from tasks.execution.limits import one_at_a_time
from tasks.execution.submitter import Submitter
from tasks.execution.task_runner import on_workers
from tasks.parameters import DatasetName, Runner
from tasks.plans.nightly import (
    Watched,
    compare_night,
    config_tonight,
    datasets_of_tonight,
    find_tonight,
    outcome_of,
    publish_night,
    registered,
    this_night,
)
from tasks.stages.table import build_graphs, evaluate_models, ingest_captures, measure_drift


@flow(name="nightly-reevaluation", flow_run_name="night {night}", task_runner=on_workers(16))
def nightly_reevaluation(
    night: date | None = None,
    data_dir: Path | None = None,
    datasets: tuple[DatasetName, ...] | None = None,
    tolerance: Annotated[float, Field(gt=0, lt=1, title="Tolerance")] = 0.02,
    on_bad_rows: BadRows = "quarantine",
    notify: str | None = None,
    runner: Runner = "local",
) -> str:
    """Evaluate all champions at the thresholds in their checkpoints and fail if one is worse than it was.

    Args:
        night: The night that is reported; none is today, in UTC. The same night again adds nothing.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none: where the champions' captures lay.
        datasets: Datasets to evaluate on; none: those of the champions, and all of the catalogue in data_dir.
        tolerance: By how much F1, ROC-AUC, precision and recall may fall, and the false-positive rate rise.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        notify: Prefect block that is told, such as slack-webhook/ops or webhook/ops.
        runner: Where stages run: local, slurm or slurm:PROFILE.
    """
    paths, tonight = Paths(default_root()), this_night(night)
    champions = registered(paths)
    folders = datasets_of_tonight(champions, data_dir, datasets)
    found = {dataset: find_tonight(dataset, folder) for dataset, folder in folders.items()}
    one_at_a_time(paths, "re-evaluate", "all", ["champions"])
    with Submitter() as stages:
        watched = []
        for champion in champions:
            for dataset, raw in found.items():
                if not isinstance(raw, Artifact):
                    watched.append(Watched(champion, dataset, offline=raw))
                    continue
                config = config_tonight(champion, dataset)
                captures = ingest_captures.submit(config, raw=raw, on_bad_rows=on_bad_rows)
                graphs = build_graphs.submit(config, captures=captures)
                models = {name: artifact and Artifact.model_validate(artifact) for name, artifact in champion.models.items()}
                evaluation = evaluate_models.submit(
                    config, champion.name, label=champion.name, graphs=graphs, **models, occasion=tonight
                )
                trained_on = Artifact.model_validate(champion.graphs)
                drift = measure_drift.submit(config, champion.name, trained_on=trained_on, graphs=graphs)
                watched.append(Watched(champion, dataset, evaluation, drift))
        outcomes = [outcome_of(pair, stages.result) for pair in watched]
    report = compare_night(tonight, [pair._replace(evaluation=None, drift=None) for pair in watched], tolerance, outcomes)
    return publish_night(tonight, report, notify)

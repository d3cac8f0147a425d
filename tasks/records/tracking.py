"""MLflow: parameters, epoch figures and artefacts of every training run, tagged by pipeline run."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from prefect.logging import get_run_logger

from config.paths import METRICS, Paths, without_password
from config.schema import PipelineConfig
from kdgat_models.evaluation.rows import ALL
from kdgat_models.runs.tables import RunRow
from tasks.artifact import Artifact
from tasks.stage import Stage
from tasks.stages.reports import HISTORY, read_epochs, read_metrics

EVALUATION = "evaluation"
TAGS = ("pipeline_run", "run_id", "dataset", "protocol", "variant", "stage", "auxiliary")
TRACKED = ("f1", "roc_auc", "precision", "recall", "fpr")  # of an evaluation; the run store has all metrics
FILES = ("config.json", "checkpoint.json", "model.safetensors", HISTORY, METRICS)


def log_run(paths: Paths, stage: Stage[Any, ...], config: PipelineConfig, row: RunRow, artifact: Artifact) -> None:
    """Log a trained model or an evaluation. A tracking failure is reported and does not cost the run."""
    if not stage.trains and artifact.kind != EVALUATION:
        return
    try:
        _log(paths, stage, config, row, artifact)
    except Exception as error:
        said = without_password(str(error))
        get_run_logger().warning("MLflow did not take run %s: %s. The run store has it all the same.", row.run_id, said)


def _log(paths: Paths, stage: Stage[Any, ...], config: PipelineConfig, row: RunRow, artifact: Artifact) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client = open_client(paths)
    experiment = _experiment(client, paths, config.protocol or config.dataset)
    started = int((row.started_at or datetime.now(UTC)).timestamp() * 1000)
    name = f"{row.variant}/{config.model_type}/{row.stage}/{row.run_id}"
    run_id = client.create_run(experiment, start_time=started, run_name=name).info.run_id
    metrics = [Metric(key, float(value), started, step) for key, value, step in _metrics(stage, artifact)]
    params = [Param(key, value[:500]) for key, value in _params(stage, config).items()]
    client.log_batch(run_id, metrics[:1000], params, [RunTag(key, str(getattr(row, key))) for key in TAGS])
    for begin in range(1000, len(metrics), 1000):  # MLflow's limit for one batch
        client.log_batch(run_id, metrics[begin : begin + 1000])
    for file in FILES:
        if (artifact.path / file).exists():
            client.log_artifact(run_id, str(artifact.path / file))
    client.set_terminated(run_id)


def open_client(paths: Paths) -> Any:
    """A client whose database exists. Two processes that make it at the same time corrupt it, hence the lock."""
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # they report every step of making the database
        logging.getLogger(name).setLevel(logging.WARNING)
    paths.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.mlflow / "create.lock"):
        client = MlflowClient(paths.tracking_uri)
        client.search_experiments(max_results=1)
    return client


def _experiment(client: Any, paths: Paths, dataset: str) -> str:
    with FileLock(paths.mlflow / "create.lock"):
        known = client.get_experiment_by_name(dataset)
        if known:
            return known.experiment_id
        local = paths.tracking_uri.startswith("sqlite:")  # a server knows itself where its artifacts lie
        location = Path(paths.mlflow / "artifacts" / dataset).as_uri() if local else None
        return client.create_experiment(dataset, artifact_location=location)


def _params(stage: Stage[Any, ...], config: PipelineConfig) -> dict[str, str]:
    """The settings that matter to the stage, as texts by dotted name."""
    flat: dict[str, str] = {}
    for section, values in stage.part_of(config).items():
        items = values.items() if isinstance(values, dict) else {"": values}.items()
        flat |= {f"{section}.{name}".rstrip("."): str(value) for name, value in items}
    return flat


def _metrics(stage: Stage[Any, ...], artifact: Artifact) -> list[tuple[str, float, int]]:
    """(name, value, step): figures of each epoch, or the metrics of each split."""
    if stage.trains:
        return [
            (f"{part}.{name}", value, epoch.epoch)
            for epoch in read_epochs(artifact.path)
            for part, figures in epoch.parts()
            for name, value in figures.items()
        ]
    rows = read_metrics(artifact.path).rows
    return [
        (f"{row.model}/{row.split}/{name}", float(value), 0)
        for row in rows
        if row.attack == ALL
        for name, value in row.metrics.by_name().items()
        if name in TRACKED and value is not None
    ]

"""Raw captures -> validated Parquet captures and graphs, without training anything."""

from pathlib import Path

from prefect import flow

from config.overrides import check_overrides
from config.resolver import resolve
from config.sections import BadRows
from tasks.artifact import Artifact
from tasks.execution.engine import find_raw
from tasks.execution.submitter import Submitter
from tasks.execution.task_runner import on_workers
from tasks.parameters import DatasetName, Overrides, Runner
from tasks.stages.table import build_graphs, ingest_captures


@flow(name="ingest-dataset", flow_run_name="ingest {dataset}", task_runner=on_workers(4))
def ingest_dataset(
    dataset: DatasetName = "demo",
    data_dir: Path | None = None,
    overrides: Overrides = None,
    on_bad_rows: BadRows = "error",
    runner: Runner = "local",
) -> list[Artifact]:
    """Validate every row, write one Parquet file per capture, build the graphs.

    Args:
        dataset: Name in the catalogue; `kdgat datasets` lists them.
        data_dir: Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none for demo, which is simulated.
        overrides: Settings by dotted name, such as training.lr, for all models.
        on_bad_rows: Rows that are no frames: stop with an error, or set them aside and go on.
        runner: Where stages run: local, slurm or slurm:PROFILE.
    """
    check_overrides(overrides or {}, ())
    config = resolve("vgae", "large", **{**(overrides or {}), "dataset": dataset})
    raw = find_raw(dataset, data_dir)
    with Submitter() as stages:
        captures = ingest_captures.submit(config, raw=raw, on_bad_rows=on_bad_rows)
        graphs = build_graphs.submit(config, captures=captures)
        return stages.results(captures, graphs)

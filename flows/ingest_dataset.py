"""Raw captures -> validated Parquet captures and graphs, without training anything."""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from config.paths import Paths, default_root
from config.resolver import resolve
from tasks.artifact import Artifact
from tasks.compute import open_compute
from tasks.pipeline import build_graphs, find_raw, ingest


@flow(name="ingest-dataset", flow_run_name="ingest {dataset}", task_runner=ThreadPoolTaskRunner(max_workers=4))
def ingest_dataset(
    dataset: Annotated[str, Field(description="Name in the catalogue, see `kdgat datasets`.")] = "demo",
    data_dir: Annotated[Path | None, Field(description="Folder that holds DATASET/SPLIT/*.csv; none for demo.")] = None,
    overrides: Annotated[dict[str, Any] | None, Field(description="Settings by dotted name.")] = None,
    on_bad_rows: Annotated[
        Literal["error", "quarantine"], Field(description="What to do with rows that are no frames.")
    ] = "error",
    runner: Annotated[Literal["local"], Field(description="Where stages run.")] = "local",
) -> list[Artifact]:
    """Validate every row, write one Parquet file per capture, build the graphs."""
    config = resolve("vgae", "large", **{**(overrides or {}), "dataset": dataset})
    raw = find_raw(dataset, data_dir)
    with open_compute(runner, Paths(default_root()).cache / "dask") as compute:
        captures = ingest(config, raw, on_bad_rows, compute)
        graphs = build_graphs(config, captures, compute)
    return [captures, graphs]

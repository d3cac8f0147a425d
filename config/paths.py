"""Every path that the project reads or writes is made here.

Layout below the root (`--root`, else KDGAT_ROOT, else ./experiments):

    {dataset}/{model_type}_{scale}_{stage}[_{aux}]/{run_id}/    one version of one trained or evaluated thing
    {protocol}/...                                              the same of what a protocol trains and evaluates
    {dataset}/captures/{run_id}/  {dataset}/graphs/{run_id}/    prepared data
    {dataset}/raw/                                              the simulated demo dataset
    runs/{flow run}/slurm_logs/  runs/{flow run}/alive.lock     what belongs to one run of a flow; held while it lives
    slurm/{profile}.yaml                                        SLURM profiles of your own
    datasets.yaml                                               datasets of your own, see config.catalog
    store/{table}/*.parquet                                     run store, see kdgat_models.runs
    cache/  prefect/  mlflow/                                   state of the tools
    access/key                                                  who has it may use their APIs, see config.access
"""

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from config.errors import ConfigError
from config.secrets import WITH_PASSWORD

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # of datasets and splits
TOOLS = ("prefect", "mlflow", "slurm", "access", "runs", "store", "cache")  # folders of the root that are of no dataset
COMPLETE = "artifact.json"  # written last: a run folder that has it is whole
DAMAGED = "damaged.json"  # a run folder that has it is no longer used, nor run in
INPUTS = "inputs.json"  # what a stage was given
METRICS = "metrics.json"  # what an evaluation came to


def default_root() -> Path:
    """KDGAT_ROOT, or `experiments` below the working directory, absolute."""
    return Path(os.environ.get("KDGAT_ROOT", "experiments")).expanduser().resolve()


def tool_environment(root: Path) -> dict[str, str]:
    """Environment that keeps the tools' state below `root` and keeps them quiet; explicit settings of the user win."""
    wanted = {
        "KDGAT_ROOT": str(root),
        "PREFECT_HOME": str(root / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLIENT_MAX_RETRIES": "10",  # a server that is started again is waited for
        "DASK_LOGGING__DISTRIBUTED": "warning",
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()} | {"KDGAT_ROOT": str(root)}


class RunFolder(NamedTuple):
    """One version of one thing: `path` is made when the run starts."""

    path: Path
    run_id: str


class Paths(NamedTuple):
    """Folders below one root."""

    root: Path

    @property
    def store(self) -> Path:
        """Tables of runs, metrics and champions: Parquet."""
        return self.root / "store"

    @property
    def cache(self) -> Path:
        """Results of tasks by cache key, and their locks."""
        return self.root / "cache"

    @property
    def tracking_uri(self) -> str:
        """MLFLOW_TRACKING_URI, or a database below the root. May hold a password: show `without_password` of it."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow(self) -> Path:
        """Files of experiment tracking, unless MLFLOW_TRACKING_URI says where they go."""
        return self.root / "mlflow"

    def pipeline(self, pipeline_run: str) -> Path:
        """Logs, certificates and scratch files of one run of a flow."""
        return self.root / "runs" / _safe(pipeline_run)

    def raw(self, dataset: str) -> Path:
        """Captures of a dataset that were simulated by us."""
        return self.of(dataset) / "raw"

    def of(self, name: str) -> Path:
        """Everything that was made of a dataset, or by a protocol, of this name."""
        return self.root / _safe(name)

    def run_folder(self, family: Path, key: str) -> RunFolder:
        """The folder to run in: an unfinished one of the same cache key (to resume), else a new version in `family`."""
        suffix = key[:10]
        found = sorted(family.glob(f"*-{suffix}"))
        unfinished = [path for path in found if not any((path / mark).exists() for mark in (COMPLETE, DAMAGED))]
        if unfinished:
            return RunFolder(unfinished[-1], unfinished[-1].name)
        while True:
            path = family / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{suffix}"
            with suppress(FileExistsError):  # two versions within a microsecond
                path.mkdir(parents=True)
                return RunFolder(path, path.name)


def versions(family: Path) -> list[Path]:
    """Complete versions of one thing, oldest first."""
    return [mark.parent for mark in sorted(family.glob(f"*/{COMPLETE}"))]


def without_password(text: str) -> str:
    """`text` without the user and password of any address in it."""
    return WITH_PASSWORD.sub("://", text)


def _safe(name: str) -> str:
    if not re.fullmatch(FOLDER_NAME, name):
        raise ConfigError(f"the name {name!r} cannot be a folder name; use letters, digits, '_', '-' and '.'")
    return name

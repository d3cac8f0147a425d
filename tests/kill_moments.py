"""When the pipeline is ended from outside, and what it had done by then."""

import signal
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
from pipeline_runs import Started
from processes import descendants, words_of

from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import RunRow

STAGES = ["ingest", "graphs", "autoencoder", "balanced", "dqn", "evaluation"]


def begun(stage: str):
    """Whether a stage has been started by this command."""

    def reached(run: Started) -> bool:
        return any(STAGES.index(name) >= STAGES.index(stage) for name in started_since(run.root, run.since))  # or a later one

    return reached


def written(pattern: str):
    """Whether one of these files has been written since the command was started."""
    return lambda run: any(is_newer(file, run.since) for file in run.root.glob(pattern))


def runs_process(words: str):
    return lambda run: any(words in " ".join(words_of(child)) for child in descendants(run.process.pid))


# Where a run is ended from outside, in the order in which it comes there: twice each, so that a run goes on in between.
MOMENTS = {
    "the start of Prefect's server": runs_process("tasks.service.temporary_server"),
    "the flow's begin": written("runs/*/alive.lock"),
    "ingest": begun("ingest"),
    "graphs": begun("graphs"),
    "an epoch of the autoencoder": lambda run: (
        written("demo/vgae_large_autoencoder/*/last_epoch.safetensors")(run) or begun("dqn")(run)
    ),
    "the classifier": begun("balanced"),
    "fusion": begun("dqn"),
    "publication": written("demo/fusion_large_evaluation/*/metrics.json"),
}
SIGNALS = {signal.SIGTERM: 143, signal.SIGKILL: -9}


def started_since(root: Path, since: float) -> list[str]:
    files = (root / "store" / "runs").glob("*-start.parquet")
    return [pq.read_table(file).to_pylist()[0]["stage"] for file in files if is_newer(file, since)]


def is_newer(file: Path, since: float) -> bool:
    with suppress(FileNotFoundError):  # it has just been removed
        return file.stat().st_mtime > since
    return False


def completed(root: Path) -> set[str]:
    return {row.stage or "" for row in RunStore(root / "store").rows(RunRow, "*-end") if row.status == "completed"}

"""A dry run: what each stage of a pipeline would do, found out without submitting anything."""

import json
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

from config.catalog import dataset_entry, dataset_folder
from config.cluster import SlurmProfile
from config.paths import Paths
from config.schema import PipelineConfig
from kdgat_models.runs.memory import lesson
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import RunRow
from tasks.artifact import Artifact, Inputs
from tasks.caching import cache_key
from tasks.execution.attempts import Request, request
from tasks.execution.cache import cached
from tasks.execution.supervise import key_of
from tasks.raw import is_simulated, raw_artifact
from tasks.stage import Processor, Stage
from tasks.stages.table import build_graphs, ingest_captures

UNKNOWN = "made by this run"
VOCABULARY = "vocabulary.json"  # of a folder of graphs


class PlannedStage(NamedTuple):
    """One stage of a dry run."""

    stage: str
    variant: str | None
    cached: bool
    processor: Processor
    memory_mb: float
    why: str  # where that figure comes from
    expected_seconds: float | None  # median of earlier runs; None: there were none
    path: str | None  # of the cached result
    teacher: str | None  # of a stage that distils; None: it does not


class Preview:
    """Takes the place of what submits stages, and keeps what it was asked for."""

    def __init__(self, paths: Paths, caps_mb: dict[Processor, float]) -> None:
        self._paths, self._caps = paths, caps_mb
        self._store = RunStore(paths.store)
        self._runs = self._store.rows(RunRow, "*-end")
        self.stages: list[PlannedStage] = []

    def submit(self, stage: Stage[Any, ...], config: PipelineConfig, variant: str | None, inputs: Inputs) -> Any:
        """Note what a stage would do; returns its cached artifact, or that it is made by this run."""
        found = None
        if not _unknown(inputs):
            found = cached(self._paths.cache, cache_key(stage, config, inputs))
        asked = self._request(stage, config)
        seconds, path = self._seconds(stage, config), str(found.path) if found else None
        teacher = inputs.get("teacher")
        taught_by = str(teacher.path) if isinstance(teacher, Artifact) else str(teacher) if teacher else None
        self.stages.append(
            PlannedStage(
                stage.name, variant, found is not None, stage.processor, asked.memory_mb, asked.why, seconds, path, taught_by
            )
        )
        return found or UNKNOWN

    def _request(self, stage: Stage[Any, ...], config: PipelineConfig) -> Request:
        learnt = lesson(self._store, key_of(stage, config)).request_mb
        return request(stage.memory_mb(config), learnt, 1, self._caps[stage.processor], config.resources)

    def _seconds(self, stage: Stage[Any, ...], config: PipelineConfig) -> float | None:
        wanted = {"stage": stage.label(config), "dataset": config.dataset, "protocol": config.protocol, "status": "completed"}
        if not stage.shared:
            wanted |= {"model_type": config.model_type, "scale": config.scale, "auxiliary": config.auxiliary.name}
        alike = [row for row in self._runs if all(getattr(row, name) == value for name, value in wanted.items())]
        seconds = [row.seconds for row in alike if row.seconds is not None]
        return median(seconds) if seconds else None


def _unknown(value: Any) -> bool:
    """Whether a part of it is still to be made."""
    if isinstance(value, dict | list | tuple):
        return any(map(_unknown, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and value == UNKNOWN


def raw_or_unknown(dataset: str, data_dir: Path | None, paths: Paths) -> Artifact:
    """The raw captures; UNKNOWN, in the place of an artifact, where they are still to be simulated."""
    folder = dataset_folder(dataset, data_dir, paths)
    if dataset_entry(dataset).simulated and data_dir is None and not is_simulated(folder):
        return cast("Artifact", UNKNOWN)
    return raw_artifact(dataset, folder)


def ids_at_hand(config: PipelineConfig, data_dir: Path | None, on_bad_rows: str, paths: Paths) -> tuple[int, ...] | None:
    """The vocabulary of the graphs that a run on these captures would use; None: they are not built yet."""
    raw = raw_or_unknown(config.dataset, data_dir, paths)
    captures = _at_hand(paths, ingest_captures, config, raw=raw, on_bad_rows=on_bad_rows)
    graphs = _at_hand(paths, build_graphs, config, captures=captures)
    return tuple(json.loads((graphs.path / VOCABULARY).read_text())) if graphs else None


def _at_hand(paths: Paths, stage: Stage[Any, ...], config: PipelineConfig, **inputs: Any) -> Artifact | None:
    if any(value is None or value == UNKNOWN for value in inputs.values()):
        return None
    return cached(paths.cache, cache_key(stage, config, inputs))


class PlannedJobs(NamedTuple):
    """Jobs of one size."""

    processor: Processor
    stages: int
    jobs_at_most: int
    memory_mb: int
    gpu_hours: float | None  # expected; None: not known of all stages
    gpu_hours_limit: float  # if every stage took its whole walltime
    script: str


def planned_jobs(stages: list[PlannedStage], profiles: dict[Processor, SlurmProfile]) -> list[PlannedJobs]:
    """The jobs that stages which are not cached would need."""
    from tasks.execution.slurm.cluster import job_memory_mb
    from tasks.execution.slurm.script import job_script

    sizes: dict[tuple[Processor, int], list[PlannedStage]] = {}
    for stage in stages:
        if not stage.cached:
            memory = job_memory_mb(stage.memory_mb, profiles[stage.processor].max_memory_gb * 1024)
            sizes.setdefault((stage.processor, memory), []).append(stage)
    jobs = []
    for (processor, memory), alike in sizes.items():
        profile = profiles[processor]
        known = [stage.expected_seconds for stage in alike if stage.expected_seconds is not None]
        hours = sum(known) / 3600 * profile.gpus if len(known) == len(alike) else None
        limit = len(alike) * profile.walltime_hours * profile.gpus
        at_most = min(len(alike), profile.max_jobs)
        jobs.append(PlannedJobs(processor, len(alike), at_most, memory, hours, limit, job_script(profile, memory, "kdgat")))
    return jobs

"""Workers that are SLURM jobs: one adaptive cluster per pool and memory tier (dask-jobqueue)."""

import asyncio
import importlib
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.cluster import SlurmProfile, load_profile
from kdgat_models.errors import ClusterError, KdgatError, StageError, StageInterrupted, StageKilled, StageOutOfMemory
from tasks.execution.dask_settings import apply_settings, new_security, private_folder
from tasks.execution.runner import Needs, Placement, Pool
from tasks.execution.slurm.jobs import ControllerAwayError, advice, cancel, end_of, in_queue, job_state
from tasks.execution.slurm.script import Submissions, job_class, job_options

if TYPE_CHECKING:
    from distributed.security import Security

OVERHEAD_MB = 512  # of a job's memory, for the Dask worker that runs the stage
LOOK_S = 3.0  # between two questions to the controller
FRUITLESS_JOBS = 3  # so many jobs that ended without a worker: the next would, too
LADDER = tuple(sorted(1024 * 2**power * part // 4 for power in range(10) for part in (3, 4)))  # 768, 1024, 1536, 2048, ...


def job_memory_mb(stage_mb: float, cap_mb: float) -> int:
    """Memory of a job for a stage: a rung of a ladder, so that stages of about the same size share workers."""
    wanted = stage_mb + OVERHEAD_MB
    return int(min(next((rung for rung in LADDER if rung >= wanted), wanted), cap_mb))


class SlurmRunner:
    """Clusters of the profile, and of the profile for stages that use no GPU, by memory tier."""

    def __init__(self, profile: str, run_folder: Path, name: str) -> None:
        self._profiles = profiles_of(profile)
        self._folder, self._name = run_folder, name
        self._security: Security | None = None
        self._closed = False
        self._tiers: dict[tuple[Pool, int], SlurmTier] = {}
        self._guard = threading.Lock()
        shared = self._profiles["cpu"] is self._profiles["gpu"]
        slots = {pool: threading.BoundedSemaphore(own.max_jobs) for pool, own in self._profiles.items()}
        self._slots = {"gpu": slots["gpu"], "cpu": slots["gpu"] if shared else slots["cpu"]}

    def tier(self, needs: Needs) -> "SlurmTier":
        profile = self._profiles[needs.pool]
        pool: Pool = "gpu" if profile is self._profiles["gpu"] else "cpu"
        key = (pool, job_memory_mb(needs.memory_mb, profile.max_memory_gb * 1024))
        with self._guard:
            if self._closed:
                raise StageInterrupted("its flow has been stopped", "stopped")
            if key not in self._tiers:
                if self._security is None:
                    self._security = new_security(private_folder(self._folder / "tls"))
                self._tiers[key] = SlurmTier(profile, key[1], self._folder, self._name, self._security)
            return self._tiers[key]

    def slot(self, needs: Needs) -> threading.BoundedSemaphore:
        return self._slots[needs.pool]

    def threads(self, pool: Pool) -> int:
        return self._profiles[pool].cores

    def cap_mb(self, pool: Pool) -> float:
        return self._profiles[pool].max_memory_gb * 1024 - OVERHEAD_MB

    def explain(self, placement: Placement, error: StageError) -> StageError:
        """What SLURM says of the job.

        A stage that ran out of memory, or was killed, in a job that goes on is what its worker says: the job is left alone,
        for it does the work of other stages. If the job has ended, SLURM knows better. A stage whose worker is gone, or that
        was told to end, was ended with its job.
        """
        if placement.job is None:
            return error
        if isinstance(error, StageOutOfMemory | StageKilled):
            time.sleep(1)  # SLURM kills all processes of a job; the worker may have outlived its child by a moment
            state = job_state(placement.job)
            if state is None or state.ended in (None, "lost"):
                return error
        return self._interrupted(placement, error)

    def _interrupted(self, placement: Placement, error: StageError) -> StageError:
        reason = end_of(placement.job or "")
        said = f"SLURM job {placement.job} on {placement.host}: {reason.replace('_', ' ')}"
        if reason == "out_of_memory":
            found: StageError = StageOutOfMemory(f"{error} ({said})")
        else:
            found = StageInterrupted(f"{error} ({said})", reason)
        found.peak_memory_mb = error.peak_memory_mb
        return found

    def close(self) -> None:
        with self._guard:
            self._closed = True
            # All jobs first: to close a cluster takes seconds, and whoever ends this process may not wait for the last one.
            cancel([job for tier in self._tiers.values() for job in tier.submissions.jobs])
            for tier in self._tiers.values():
                tier.close()
            self._tiers.clear()
            shutil.rmtree(self._folder / "tls", ignore_errors=True)


def import_jobqueue() -> None:
    """Import dask-jobqueue, in the main thread, and take back the handler of Ctrl-C that it sets when it is imported."""
    handler = signal.getsignal(signal.SIGINT)
    importlib.import_module("dask_jobqueue")
    signal.signal(signal.SIGINT, handler)


def profiles_of(name: str) -> dict[Pool, SlurmProfile]:
    """The profile of each pool: preprocessing may have one of its own."""
    profile = load_profile(name)
    return {"gpu": profile, "cpu": load_profile(profile.preprocessing) if profile.preprocessing else profile}


class SlurmTier:
    """An adaptive cluster whose jobs have one memory size."""

    def __init__(self, profile: SlurmProfile, memory_mb: int, folder: Path, name: str, security: "Security") -> None:
        from distributed import Client

        apply_settings()
        self.profile, self.memory_mb = profile, memory_mb
        self.logs = (profile.logs or folder / "slurm_logs").resolve()
        self.submissions = Submissions()
        self.cluster: Any = make_cluster(profile, memory_mb, self.logs, name, security, self.submissions)
        self.cluster.adapt(
            minimum_jobs=0,
            maximum_jobs=profile.max_jobs,
            interval="1s",
            wait_count=profile.idle_seconds,
            target_duration="100ms",  # a worker for each stage, up to the maximum
        )
        self.client: Client = Client(self.cluster, security=security)
        self._guard = threading.Lock()
        self._looked_at = time.monotonic()
        self._fruitless = 0

    def workers(self) -> set[str]:
        return set(self.cluster.scheduler.workers)

    def complaint(self) -> KdgatError | None:
        """Why no worker will come. Jobs that ended without one are replaced; Dask would wait for them for ever."""
        if self.submissions.refused is not None:
            return ClusterError(advice(self.submissions.refused))
        with self._guard:
            if time.monotonic() - self._looked_at < LOOK_S:
                return None
            self._looked_at = time.monotonic()
            with suppress(ControllerAwayError):  # then there is no news, which is no bad news
                self._replace_the_fruitless()
        if self._fruitless < FRUITLESS_JOBS:
            return None
        return ClusterError(f"{FRUITLESS_JOBS} jobs ended and no worker had come. {self.last_words()}")

    def _replace_the_fruitless(self) -> None:
        connected = {str(worker.name) for worker in list(self.cluster.scheduler.workers.values())}
        if connected:
            self._fruitless = 0
        waiting = {str(name): job.job_id for name, job in list(self.cluster.workers.items()) if job.job_id}
        waiting = {name: job for name, job in waiting.items() if name not in connected}
        if not waiting:
            return
        alive = {job for job, _, _ in in_queue(list(waiting.values()))}
        for name, job in waiting.items():
            if job not in alive:
                state = job_state(job)
                # One that somebody cancelled says nothing about the next.
                self._fruitless += state is None or state.ended not in ("cancelled", "preempted", "node_failure")
                self.cluster.loop.add_callback(self.cluster.scale_down, [name])

    def news(self) -> str:
        try:
            waiting = in_queue(self.submissions.jobs)
        except ControllerAwayError as error:
            return f"waiting for SLURM's controller: {error}"
        said = ", ".join(f"job {job} {state.lower()} ({reason})" for job, state, reason in waiting)
        return f"waiting for a worker with {self.memory_mb} MB: {said or 'its job is being submitted'}"

    def last_words(self) -> str:
        """What the newest job log says, and what that means."""
        logs = sorted(self.logs.glob("*.err"), key=lambda file: file.stat().st_mtime)
        text = logs[-1].read_text(errors="replace") if logs else ""
        tail = "\n".join(text.splitlines()[-8:])
        where = (
            f"the job log {logs[-1]} ends:\n{tail}" if logs else f"there is no job log in {self.logs}: can nodes write there?"
        )
        return f"{_diagnosis(text, self.cluster.scheduler_address)}{where}"

    def close(self) -> None:
        self.client.close()
        with suppress(TimeoutError, asyncio.TimeoutError):
            self.cluster.close(timeout=20)
        cancel(self.submissions.jobs)  # also those whose submission was under way


def _diagnosis(log: str, scheduler: str) -> str:
    if "No such file or directory" in log or "not found" in log:
        return "The node lacks a file that the job needs; is `python` of the profile there, and `environment` right? "
    if "ModuleNotFoundError" in log or "ImportError" in log:
        return "The node's Python lacks our packages; set `python` in the profile to one that has them. "
    if "imed out" in log or "No route to host" in log or "Connection refused" in log:
        return f"No route from the node to the scheduler at {scheduler}; set `interface` or `scheduler_host` in the profile. "
    return ""


def make_cluster(
    profile: SlurmProfile,
    memory_mb: int,
    logs: Path,
    name: str,
    security: "Security",
    submissions: Submissions,
) -> Any:
    """A `SLURMCluster` without workers."""
    from dask_jobqueue.slurm import SLURMCluster

    from tasks.execution.dask_nodes import Scheduler

    try:
        return SLURMCluster(
            job_cls=job_class(submissions),
            scheduler_cls=Scheduler,
            **job_options(profile, memory_mb, logs, name),
            interface=profile.interface,
            security=security,
            scheduler_options=_scheduler_options(profile),
            silence_logs="error",
        )
    except RuntimeError as error:  # an address or interface that this machine does not have
        raise ClusterError(f"{error}. Set `interface` or `scheduler_host` in the profile to one of this machine") from error


def _scheduler_options(profile: SlurmProfile) -> dict[str, Any]:
    options: dict[str, Any] = {"dashboard": False}
    if profile.scheduler_host:
        options["host"] = profile.scheduler_host
    elif profile.interface == "lo":
        options["host"] = "127.0.0.1"
    return options

"""Workers that are SLURM jobs: one adaptive cluster of dask-jobqueue per processor and size of job."""

import asyncio
import importlib
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from config.cluster import SlurmProfile, load_profile
from kdgat_models.errors import ClusterError, KdgatError, StageError, StageInterrupted, StageKilled, StageOutOfMemory
from tasks.events import Started
from tasks.execution.dask_nodes import EndsWhatIsStarting, Scheduler
from tasks.execution.rung import Rung
from tasks.execution.runner import Needs, Runner, RunPlace
from tasks.execution.slurm.jobs import ControllerAwayError, advice, cancel, end_of, in_queue, job_state
from tasks.execution.slurm.script import Submissions, job_class, job_options
from tasks.stage import Processor

if TYPE_CHECKING:
    from distributed.security import Security

OVERHEAD_MB = 512  # of a job's memory, for the Dask worker that runs the stage
CLOSE_S = 20.0
HAPPENS = ("cancelled", "preempted", "node_failure")
LADDER = tuple(sorted(1024 * 2**power * part // 4 for power in range(10) for part in (3, 4)))  # 768, 1024, 1536, 2048, ...


def job_memory_mb(stage_mb: float, cap_mb: float) -> int:
    """Memory of a job for a stage: a rung of a ladder, so that stages of about the same size share workers."""
    wanted = stage_mb + OVERHEAD_MB
    return int(min(next((rung for rung in LADDER if rung >= wanted), wanted), cap_mb))


class JobSize(NamedTuple):
    """Of the jobs of one rung."""

    processor: Processor
    memory_mb: int


class SlurmRunner(Runner):
    """Rungs of the profile, and of the profile for stages that use no GPU, by memory of a job."""

    def __init__(self, profile: str, place: RunPlace) -> None:
        self._profiles = profiles_of(profile)
        self._place = place
        self.slots = {processor: threading.BoundedSemaphore(own.max_jobs) for processor, own in self._profiles.items()}
        if self._profiles["cpu"] is self._profiles["gpu"]:
            self.slots["cpu"] = self.slots["gpu"]

    def size(self, needs: Needs) -> JobSize:
        profile = self._profiles[needs.processor]
        processor: Processor = "gpu" if profile is self._profiles["gpu"] else "cpu"
        return JobSize(processor, job_memory_mb(needs.memory_mb, profile.max_memory_gb * 1024))

    def new_rung(self, needs: Needs, security: "Security") -> "SlurmRung":
        return SlurmRung(self._profiles[needs.processor], self.size(needs).memory_mb, self._place, security)

    def threads(self, processor: Processor) -> int:
        return self._profiles[processor].cores

    def cap_mb(self, processor: Processor) -> float:
        return self._profiles[processor].max_memory_gb * 1024 - OVERHEAD_MB

    def explain(self, started: Started, error: StageError) -> StageError:
        """What SLURM says of the job.

        A stage that ran out of memory, or was killed, in a job that goes on is what its worker says: the job is left alone,
        for it does the work of other stages. If the job has ended, SLURM knows better. A stage whose worker is gone, or that
        was told to end, was ended with its job.
        """
        if started.job is None:
            return error
        if isinstance(error, StageOutOfMemory | StageKilled):
            time.sleep(1)  # SLURM kills all processes of a job; the worker may have outlived its child by a moment
            state = job_state(started.job)
            if state is None or state.ended in (None, "lost"):
                return error
        return self._interrupted(started, error)

    def _interrupted(self, started: Started, error: StageError) -> StageError:
        reason = end_of(started.job or "")
        said = f"SLURM job {started.job} on {started.host}: {reason.replace('_', ' ')}"
        if reason == "out_of_memory":
            found: StageError = StageOutOfMemory(f"{error} ({said})")
        else:
            found = StageInterrupted(f"{error} ({said})", reason)
        found.peak_memory_mb = error.peak_memory_mb
        return found

    def end(self, rungs: "Sequence[Rung]") -> None:
        """All jobs: to close a cluster takes seconds, and whoever ends this process may not wait for the last one."""
        cancel([job for rung in rungs if isinstance(rung, SlurmRung) for job in rung.submissions.jobs])


def import_jobqueue() -> None:
    """Import dask-jobqueue, in the main thread, and take back the handler of Ctrl-C that it sets when it is imported."""
    handler = signal.getsignal(signal.SIGINT)
    importlib.import_module("dask_jobqueue")
    signal.signal(signal.SIGINT, handler)


def profiles_of(name: str) -> dict[Processor, SlurmProfile]:
    """The profile of each processor: preprocessing may have one of its own."""
    profile = load_profile(name)
    return {"gpu": profile, "cpu": load_profile(profile.preprocessing) if profile.preprocessing else profile}


class SlurmRung(Rung):
    """Jobs of one memory size, as many as there are stages for them."""

    look_s = 3.0  # between two questions to the controller

    def __init__(self, profile: SlurmProfile, memory_mb: int, place: RunPlace, security: "Security") -> None:
        self.memory_mb = memory_mb
        self.logs = (profile.logs or place.folder / "slurm_logs").resolve()
        self.submissions = Submissions()
        options = job_options(profile, memory_mb, self.logs, place.name)
        kinds = {"job_cls": job_class(self.submissions), "scheduler_cls": Scheduler, "silence_logs": "error"}
        addresses = {"interface": profile.interface, "scheduler_options": _scheduler_options(profile)}
        super().__init__(new_cluster, {**options, **kinds, **addresses}, security, _adapting(profile))

    def __exit__(self, *reason: Any) -> None:
        try:
            super().__exit__(*reason)
        finally:
            cancel(self.submissions.jobs)  # also those whose submission was under way

    def complaint(self) -> KdgatError | None:
        if self.submissions.refused is not None:
            return ClusterError(advice(self.submissions.refused))
        return super().complaint()

    def ended(self, processes: dict[str, Any]) -> dict[str, bool]:
        jobs = {name: job.job_id for name, job in processes.items() if job.job_id}
        try:
            alive = {job for job, _, _ in in_queue(list(jobs.values()))}
            states = {name: job_state(job) for name, job in jobs.items() if job not in alive}
        except ControllerAwayError:  # then there is no news, which is no bad news
            return {}
        # One that somebody cancelled says nothing about the next.
        return {name: state is None or state.ended not in HAPPENS for name, state in states.items()}

    def news(self) -> str:
        try:
            waiting = in_queue(self.submissions.jobs)
        except ControllerAwayError as error:
            return f"waiting for SLURM's controller: {error}"
        said = ", ".join(f"job {job} {state.lower()} ({reason})" for job, state, reason in waiting)
        return f"waiting for a worker with {self.memory_mb} MB: {said or 'its job is being submitted'}"

    def last_words(self) -> str:
        return f"{self.patience} jobs ended and no worker had come. {self.newest_log()}"

    def newest_log(self) -> str:
        """What the newest job log says, and what that means."""
        logs = sorted(self.logs.glob("*.err"), key=lambda file: file.stat().st_mtime)
        if not logs:
            return f"there is no job log in {self.logs}: can nodes write there?"
        text = logs[-1].read_text(errors="replace")
        tail = "\n".join(text.splitlines()[-8:])
        return f"{_diagnosis(text, self.cluster.scheduler_address)}the job log {logs[-1]} ends:\n{tail}"


def _diagnosis(log: str, scheduler: str) -> str:
    if "No such file or directory" in log or "not found" in log:
        return "The node lacks a file that the job needs; is `python` of the profile there, and `environment` right? "
    if "ModuleNotFoundError" in log or "ImportError" in log:
        return "The node's Python lacks our packages; set `python` in the profile to one that has them. "
    if "imed out" in log or "No route to host" in log or "Connection refused" in log:
        return f"No route from the node to the scheduler at {scheduler}; set `interface` or `scheduler_host` in the profile. "
    return ""


def new_cluster(**options: Any) -> Any:
    """A `SLURMCluster` without workers, which takes no longer than CLOSE_S to close."""
    from dask_jobqueue.slurm import SLURMCluster

    class OwnSlurmCluster(EndsWhatIsStarting, SLURMCluster):
        def close(self, timeout: float | None = None) -> Any:
            with suppress(TimeoutError, asyncio.TimeoutError):
                return super().close(CLOSE_S if timeout is None else timeout)

    try:
        return OwnSlurmCluster(**options)
    except RuntimeError as error:  # an address or interface that this machine does not have
        raise ClusterError(f"{error}. Set `interface` or `scheduler_host` in the profile to one of this machine") from error


def _adapting(profile: SlurmProfile) -> dict[str, Any]:
    return {
        "minimum_jobs": 0,
        "maximum_jobs": profile.max_jobs,
        "interval": "1s",
        "wait_count": profile.idle_seconds,
        "target_duration": "100ms",  # a worker for each stage, up to the maximum
    }


def _scheduler_options(profile: SlurmProfile) -> dict[str, Any]:
    options: dict[str, Any] = {"dashboard": False}
    if profile.scheduler_host:
        options["host"] = profile.scheduler_host
    elif profile.interface == "lo":
        options["host"] = "127.0.0.1"
    return options

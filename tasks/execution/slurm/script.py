"""The job script of a worker, and its submission."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from config.cluster import SlurmProfile
from tasks.execution.dask_settings import WORKER_OPTIONS
from tasks.execution.slurm.jobs import TRANSIENT

SUBMIT_S = 600.0  # a controller may be away for so long


class Submissions:
    """What became of the jobs of one cluster."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.refused: str | None = None


def job_options(profile: SlurmProfile, memory_mb: int, logs: Path, name: str) -> dict[str, Any]:
    """Options of a dask-jobqueue job."""
    return {
        "queue": profile.partition,
        "account": profile.account,
        "walltime": profile.walltime,
        "cores": profile.cores,
        "processes": 1,
        "memory": f"{memory_mb}MiB",
        "job_mem": f"{memory_mb}M",
        "job_name": name,
        "job_extra_directives": directives(profile),
        "job_script_prologue": ["umask 077", *profile.environment],
        "log_directory": str(logs),
        "local_directory": profile.scratch,
        # The worker takes the place of the job's shell: what SLURM tells the job to do reaches the worker itself.
        "python": f"exec {profile.python or sys.executable}",
        "nanny": False,
        "death_timeout": profile.death_timeout_seconds,
        "worker_extra_args": WORKER_OPTIONS,
        "protocol": "tls://",
    }


def job_script(profile: SlurmProfile, memory_mb: int, name: str) -> str:
    """The script that would be submitted; addresses and certificates are only known then."""
    from dask_jobqueue.slurm import SLURMJob

    options = job_options(profile, memory_mb, Path("{run}/slurm_logs"), name) | {"log_directory": None}
    logs = profile.logs or "{run}/slurm_logs"
    options["job_extra_directives"] = [f"-e {logs}/{name}-%J.err", f"-o {logs}/{name}-%J.out", *directives(profile)]
    script = SLURMJob("{scheduler}", "{worker}", interface=profile.interface, **options).job_script()
    return "\n".join(line for line in script.splitlines() if line)


def directives(profile: SlurmProfile) -> list[str]:
    """#SBATCH lines beyond those that dask-jobqueue writes."""
    optional = {"qos": profile.qos, "constraint": profile.constraint, "gres": profile.gres}
    lines = [f"--{name}={value}" for name, value in optional.items() if value]
    # A job that SLURM requeued would come back beside the one that replaces it.
    return [*lines, "--no-requeue", f"--export={','.join(profile.exports)}", *profile.directives]


def job_class(submissions: Submissions) -> Any:
    """A job that waits for a controller which cannot be reached, and notes what it was refused instead of raising.

    Dask would only log the error, once a second, and the stage would wait for ever; `SlurmRung.complaint` passes it on.
    """
    from dask_jobqueue.core import Job as AnyJob
    from dask_jobqueue.slurm import SLURMJob

    class Job(SLURMJob):
        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, FileNotFoundError) as error:
                missing = isinstance(error, FileNotFoundError)
                submissions.refused = "error: there is no sbatch here; start from a login node" if missing else str(error)
                await super(AnyJob, self).start()

        async def _submit_job(self, script_filename: str) -> str:
            deadline, pause = time.monotonic() + SUBMIT_S, 1.0
            while True:
                try:
                    answer = await super()._submit_job(script_filename)
                except RuntimeError as error:
                    if not TRANSIENT.search(str(error)) or time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 10)
                else:
                    submissions.jobs.append(self._job_id_from_submit_output(answer))
                    return answer

    return Job

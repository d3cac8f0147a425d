"""What SLURM says of jobs, asked through its own commands, and what it means for a stage."""

import re
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

from kdgat_models.errors import ClusterError

# The controller is restarting, or too busy: the same command works a little later.
TRANSIENT = re.compile(
    r"unable to contact slurm controller|connection refused|socket timed out|temporarily unable|zero bytes|timed out"
    r"|transport endpoint|unexpected message|resource temporarily|connection reset",
    re.IGNORECASE,
)
ENDING = ("RUNNING", "COMPLETING", "PENDING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT")
REASONS = {
    "TIMEOUT": "walltime",
    "DEADLINE": "walltime",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
    "NODE_FAIL": "node_failure",
    "BOOT_FAIL": "node_failure",
    "REVOKED": "node_failure",
    "OUT_OF_MEMORY": "out_of_memory",
}
COMMAND_S, CONTROLLER_S, TERMINAL_S = 60.0, 600.0, 90.0


class ControllerAwayError(ClusterError):
    """The controller could not be reached for a while; it may be back a little later."""


class JobState(NamedTuple):
    """A job as the controller knows it."""

    job: str
    state: str
    reason: str
    exit_code: str  # "code:signal"

    @property
    def ended(self) -> str | None:
        """Why it ended, in our words; None while it has not, "lost" for an end that says nothing."""
        if self.state in ENDING:
            return None
        if self.state == "FAILED" and self.exit_code.endswith(":9"):  # SLURM's own poll of memory kills so
            return "out_of_memory"
        return REASONS.get(self.state, "lost")


def slurm(*command: str, patience_s: float = CONTROLLER_S) -> str:
    """Output of a SLURM command, which is repeated for a while if the controller cannot be reached.

    Raises:
        ClusterError: it fails otherwise, or there is no SLURM here.
        ControllerAwayError: it still could not be reached after `patience_s`.
    """
    deadline, pause = time.monotonic() + patience_s, 0.5
    while True:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
            message = done.stderr.strip()
        except FileNotFoundError as error:
            raise ClusterError(f"there is no {command[0]} on this machine: start from a login node of the cluster") from error
        except subprocess.TimeoutExpired:
            message = "timed out"
        else:
            if done.returncode == 0:
                return done.stdout
        if not TRANSIENT.search(message):
            raise ClusterError(f"{' '.join(command)}: {message}")
        if time.monotonic() > deadline:
            raise ControllerAwayError(f"{' '.join(command)}: {message}")
        time.sleep(pause)
        pause = min(pause * 2, 10)


def job_state(job: str) -> JobState | None:
    """The state of a job, or None if the controller has forgotten it."""
    try:
        text = slurm("scontrol", "show", "job", "-o", job)
    except ClusterError as error:
        if "invalid job id" in str(error).lower():
            return None
        raise
    fields = dict(part.split("=", 1) for part in text.split() if "=" in part)
    return JobState(job, fields.get("JobState", "UNKNOWN"), fields.get("Reason", ""), fields.get("ExitCode", "0:0"))


def end_of(job: str) -> str:
    """Why a job ended. One that still runs has lost touch with us: it is cancelled, so that nothing writes behind our back."""
    deadline = time.monotonic() + TERMINAL_S
    cancelled = False
    while True:
        state = job_state(job)
        if state is None:
            return "lost"
        if state.ended is not None:
            return "lost" if cancelled and state.ended == "cancelled" else state.ended
        if state.state == "RUNNING" and not cancelled:
            cancel([job])
            cancelled = True
        if time.monotonic() > deadline:
            return "lost"
        time.sleep(1)


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs; those that have ended do not matter."""
    if jobs:
        subprocess.run(["scancel", *jobs], capture_output=True, timeout=COMMAND_S, check=False)


def in_queue(jobs: Sequence[str]) -> list[tuple[str, str, str]]:
    """(job, state, reason) of those of `jobs` that wait or run."""
    if not jobs:
        return []
    lines = slurm("squeue", "--me", "-h", "-o", "%i|%T|%r", patience_s=5).splitlines()
    rows = [tuple(line.split("|", 2)) for line in lines]
    return [(row[0], row[1], row[2]) for row in rows if row[0] in jobs]


# What sbatch says -> what to do about it.
ADVICE = (
    ("invalid account", "set `account` to one of yours (sacctmgr show associations user=$USER)"),
    ("invalid partition", "set `partition` to one that `sinfo` lists"),
    ("invalid qos", "set `qos` to one of yours (sacctmgr show qos)"),
    ("invalid generic resource", "no node has that `gres`; `sinfo -o '%P %G'` lists what there is"),
    ("invalid feature", "no node has that `constraint`; `sinfo -o '%P %f'` lists what there is"),
    ("time limit", "`walltime` is more than the partition allows; `sinfo -o '%P %l'` lists limits"),
    ("memory specification", "no node has so much memory: lower `max_memory_gb` (`sinfo -o '%P %m'`, in MB)"),
    ("node configuration is not available", "no node has such cores, memory, GPUs and features together (`sinfo -N -l`)"),
    ("job size", "the job is larger than the partition allows; `scontrol show partition` says how large"),
    ("violates", "a limit of your account or QOS forbids the job; `sacctmgr show qos` lists limits"),
)


def advice(message: str) -> str:
    """What a refusal of sbatch means, in words."""
    said = next((line for line in message.splitlines() if "error" in line.lower()), message.strip())
    said = re.sub(r"^\w+: error: (Batch job submission failed: )?", "", said.strip())
    hint = next((text for pattern, text in ADVICE if pattern in message.lower()), "see `man sbatch`")
    return f"SLURM refused the job: {said}. In the profile, {hint}"

"""Whether a SLURM profile works, found out with one small job."""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from config.cluster import SlurmProfile, load_profile
from config.paths import Paths
from kdgat_models.errors import ClusterError
from tasks.execution.dask_settings import new_security, private_folder
from tasks.execution.runner import RunPlace
from tasks.execution.slurm.cluster import OVERHEAD_MB, SlurmRung, import_jobqueue, job_memory_mb
from tasks.execution.slurm.jobs import in_queue

PACKAGES = ("torch", "torch-geometric", "numba", "polars", "distributed", "pydantic")
PROBE_MB = 1024.0
POLL_S = 0.5
PENDING_FOREVER = (
    "BadConstraints",
    "PartitionTimeLimit",
    "PartitionConfig",
    "AssocGrp",
    "QOSMax",
    "InvalidAccount",
    "PartitionNodeLimit",
)


class FoundNode(NamedTuple):
    """What a node has, as a probe on it says."""

    node: str
    job: str | None
    python: str
    executable: str
    packages: dict[str, str | None]  # versions of PACKAGES; None: not installed
    our_code: str  # folder
    sees_the_root_folder: bool
    gpus_given: str | None  # by SLURM
    gpu_that_torch_sees: str | None
    seconds_until_the_answer: float = 0.0  # since the job was asked for


class ClusterReport(NamedTuple):
    """What a profile is worth."""

    profile: str
    found: FoundNode | None  # None: no answer came
    problems: list[str]


def check_profile(name: str, paths: Paths, wait_s: float) -> ClusterReport:
    """Submit one job with the profile, run a probe in it, compare what it finds with this machine."""
    profile = load_profile(name)
    import_jobqueue()
    folder = paths.pipeline(f"check-{uuid.uuid4().hex[:8]}")
    mark = folder / "shared"
    folder.mkdir(parents=True)
    mark.write_text("seen")
    memory = max(job_memory_mb(PROBE_MB, profile.max_memory_gb * 1024), OVERHEAD_MB)
    try:
        with SlurmRung(profile, memory, RunPlace(folder, "kdgat-check"), new_security(private_folder(folder / "tls"))) as rung:
            started = time.monotonic()
            found = _probe(rung, mark, wait_s)._replace(seconds_until_the_answer=round(time.monotonic() - started, 1))
    except ClusterError as error:
        return ClusterReport(name, None, [str(error)])
    finally:
        shutil.rmtree(folder / "tls", ignore_errors=True)
    return ClusterReport(name, found, _problems(profile, found))


def _probe(rung: SlurmRung, mark: Path, wait_s: float) -> FoundNode:
    future: Any = rung.client.submit(probe, str(mark), pure=False, retries=0)
    deadline = time.monotonic() + wait_s
    while not future.done():
        complaint = rung.complaint()
        if complaint is not None:
            raise complaint
        hopeless = [row for row in in_queue(rung.submissions.jobs) if row[2].startswith(PENDING_FOREVER)]
        if hopeless:
            raise ClusterError(
                f"SLURM will not start the job: {hopeless[0][2]}. Change the profile; see `man squeue` for the reason"
            )
        if time.monotonic() > deadline:
            running = [job for job, state, _ in in_queue(rung.submissions.jobs) if state == "RUNNING"]
            words = rung.newest_log() if running else rung.news()
            raise ClusterError(f"no answer within {wait_s:.0f} s. {words}")
        time.sleep(POLL_S)
    return future.result()


def probe(mark: str) -> FoundNode:
    """Runs in the job: what this node has."""
    return FoundNode(
        node=platform.node(),
        job=os.environ.get("SLURM_JOB_ID"),
        python=platform.python_version(),
        executable=sys.executable,
        packages={name: _version(name) for name in PACKAGES},
        our_code=str(Path(importlib.import_module("tasks").__path__[0]).parent),
        sees_the_root_folder=Path(mark).is_file(),
        gpus_given=os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("SLURM_JOB_GPUS"),
        gpu_that_torch_sees=_gpu(),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """In a process of its own: a CUDA context would stay in this worker."""
    code = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.strip() or None


def _problems(profile: SlurmProfile, found: FoundNode) -> list[str]:
    problems = []
    if found.python.rpartition(".")[0] != platform.python_version().rpartition(".")[0]:
        problems.append(
            f"another Python: {found.python} on the node, {platform.python_version()} here; set `python` in the profile"
        )
    here = {name: _version(name) for name in PACKAGES}
    other = [f"{name} {found.packages[name]} (here {own})" for name, own in here.items() if found.packages[name] != own]
    if other:
        problems.append(f"other packages on the node: {', '.join(other)}; install the same versions or set `python`")
    if not found.sees_the_root_folder:
        problems.append("the node does not see the root folder; put --root on a file system that all nodes share")
    if profile.gres and not found.gpu_that_torch_sees:
        given = found.gpus_given
        problems.append(
            f"missing GPU: the profile asks for {profile.gres}, SLURM gave {given or 'none'}, torch sees none; "
            "check `gres`, the driver (nvidia-smi) and that torch is a CUDA build"
        )
    return problems

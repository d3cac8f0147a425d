"""What Dask has to do otherwise than by default, for this process and the workers that it starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed.security import Security

SETTINGS: dict[str, Any] = {
    # A worker's death is reported at once: what it means, and whether to try again, the supervisor decides.
    "distributed.scheduler.allowed-failures": 0,
    # A stage may wait for days in SLURM's queue; that no worker will ever come is found out otherwise.
    "distributed.scheduler.no-workers-timeout": None,
    # Memory is watched where it is used, in the stage's own process; a worker holds nothing that it could spill.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.retry.count": 3,
    "distributed.comm.timeouts.connect": "60s",
}

# Options of the `dask worker` command. One stage at a time, however many cores there are; its memory is watched in its child.
WORKER_OPTIONS = [
    "--nthreads",
    "1",
    "--memory-limit",
    "0",
    "--no-dashboard",
    "--worker-class",
    "tasks.execution.dask_nodes.Worker",
]


def apply_settings() -> None:
    """Set them in this process."""
    from dask import config

    config.set(SETTINGS)


def private_folder(path: Path) -> Path:
    """Make `path` readable by nobody else; certificates lie there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def new_security(folder: Path) -> "Security":
    """Certificates for this run alone, as files: a worker on a node reads them there, its command line only names them."""
    from distributed.security import Security

    temporary = Security.temporary().get_tls_config_for_role("worker")
    files = {}
    for name in ("ca_file", "cert", "key"):
        files[name] = folder / f"{name}.pem"
        files[name].touch(mode=0o600)
        files[name].write_text(temporary[name])
    roles = {f"tls_{role}_{name}": str(files[name]) for role in ("scheduler", "worker", "client") for name in ("cert", "key")}
    return Security(tls_ca_file=str(files["ca_file"]), require_encryption=True, **roles)

"""What Dask has to do otherwise than by default, for this process and the workers that it starts."""

from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = {
    # A worker's death is reported at once: what it means, and whether to try again, the supervisor decides.
    "distributed.scheduler.allowed-failures": 0,
    # Memory is watched where it is used, in the stage's own process; a worker holds nothing that it could spill.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.retry.count": 3,
    "distributed.comm.timeouts.connect": "60s",
}


def apply_settings() -> None:
    """Set them in this process."""
    from dask import config

    config.set(SETTINGS)


def private_folder(path: Path) -> Path:
    """Make `path` readable by nobody else; certificates lie there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path

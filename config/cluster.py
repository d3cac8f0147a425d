"""SLURM profiles: what a job on a cluster asks for. One YAML file per profile.

Profiles are looked for in `{root}/slurm/` (yours) and then in `deployments/slurm/` (examples that ship).
"""

from pathlib import Path

import yaml
from pydantic import Field, ValidationError, field_validator

from config.errors import ConfigError
from config.paths import CHECKOUT, default_root
from config.resolver import describe_errors
from config.secrets import is_secret
from config.sections import Count, Positive, Section

SHIPPED = CHECKOUT / "deployments" / "slurm"
WALLTIME = r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$"


class SlurmProfile(Section):
    """How a job is submitted. A stage says how much memory it needs; the rest of its job is said here."""

    description: str = ""
    partition: str | None = Field(default=None, description="None: the cluster's default partition.")
    account: str | None = None
    qos: str | None = None
    constraint: str | None = Field(default=None, description="Node features, as in sbatch --constraint.")
    cores: Count = Field(default=4, description="Cores of a job: threads of the one stage that it runs at a time.")
    max_memory_gb: Positive = Field(default=64.0, description="Most that a job may ask for; retries stop there.")
    gres: str | None = Field(default=None, pattern=r"^gpu(:[\w.-]+)?(:\d+)?$", description="GPU of a job, such as gpu:v100:1.")
    walltime: str = Field(default="04:00:00", pattern=WALLTIME, description="[days-]hours:minutes:seconds.")
    interface: str | None = Field(default=None, description="Network interface of nodes and scheduler, such as ib0.")
    scheduler_host: str | None = Field(
        default=None, description="Address of this machine that nodes reach; default: interface."
    )
    scratch: str = Field(default="/tmp", description="Folder for Dask's scratch files on a node.")
    logs: Path | None = Field(default=None, description="Folder of job logs; default: {run}/slurm_logs.")
    environment: tuple[str, ...] = Field(default=(), description="Shell lines before the worker, such as module load cuda.")
    exports: tuple[str, ...] = Field(
        default=(
            "HOME",
            "USER",
            "LOGNAME",
            "LANG",
            "PATH",
            "LD_LIBRARY_PATH",
            "PYTHONPATH",
            "VIRTUAL_ENV",
            "KDGAT_ROOT",
            "KDGAT_CATALOG",
        ),
        description="Environment variables that jobs inherit; nothing else of yours reaches a node.",
    )
    python: str | None = Field(default=None, description="Python on the nodes; default: the one that submits.")
    directives: tuple[str, ...] = Field(default=(), description="Further #SBATCH lines, such as --exclude=node7.")
    max_jobs: Count = Field(default=4, description="Jobs of this profile at a time.")
    idle_seconds: Count = Field(default=15, description="Seconds after which an idle worker gives its node back.")
    death_timeout_seconds: Count = Field(default=120, description="Seconds for which a worker looks for its scheduler.")
    preprocessing: str | None = Field(
        default=None, description="Profile for the stages that use no GPU (ingest, graphs, fusion, evaluation)."
    )

    @field_validator("exports")
    @classmethod
    def _no_secrets(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        secret = [name for name in names if is_secret(name)]
        if secret:
            raise ValueError(f"{', '.join(secret)} looks like a secret; workers need none, so do not export it")
        return names

    @property
    def gpus(self) -> int:
        """GPUs of a job."""
        count = (self.gres or "").rpartition(":")[2]
        return int(count) if count.isdigit() else int(self.gres is not None)

    @property
    def walltime_hours(self) -> float:
        """The walltime, in hours."""
        days, _, clock = self.walltime.rpartition("-")
        hours, minutes, seconds = (int(part) for part in clock.split(":"))
        return int(days or 0) * 24 + hours + minutes / 60 + seconds / 3600


def profile_files() -> dict[str, Path]:
    """Profiles by name; one below the root hides a shipped one of the same name."""
    folders = (SHIPPED, default_root() / "slurm")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def load_profile(name: str) -> SlurmProfile:
    """The profile of that name, or of that .yaml file.

    Raises:
        ConfigError: there is none, or one of its fields is unknown or wrong.
    """
    file = Path(name) if name.endswith(".yaml") else profile_files().get(name)
    if file is None or not file.is_file():
        known = ", ".join(profile_files()) or "none"
        raise ConfigError(
            f"no SLURM profile {name!r}; there are: {known}. Write your own as {default_root() / 'slurm' / 'NAME.yaml'}, "
            f"starting from one in {SHIPPED}"
        )
    try:
        profile = SlurmProfile.model_validate(yaml.safe_load(file.read_text()) or {})
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"SLURM profile {file}: {describe_errors(error, SlurmProfile)}") from error
    if profile.preprocessing in (name, file.stem):
        raise ConfigError(f"SLURM profile {file}: preprocessing names the profile itself; leave it out")
    return profile

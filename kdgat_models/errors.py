"""All errors that KD-GAT raises on purpose.

KdgatError
├── ConfigError            a setting is unknown, mistyped or contradictory             (also a ValueError)
├── PluginError            something that another package adds cannot be loaded, or is not what its kind asks for
├── CaptureError           a file is not a capture, or one of its rows is wrong
├── DatasetError           a dataset lacks what a stage needs (attacks, normal traffic, enough windows)
├── NonFiniteError         a feature or a score is NaN or infinite
├── UnsupportedError       a network has a part that cannot be compiled or exported
├── SchemaError            graphs, vocabulary and model do not belong together
├── CheckpointError        a checkpoint or artifact is missing, torn or of another kind
│   ├── MissingTeacherError
│   └── ResumeError         the state of an interrupted training is torn or altered
├── ArchiveError           a bundle or a vehicle profile is missing, torn, altered, newer or of another kind
├── ProfileError           a vehicle profile does not fit what it is used for
├── StageError             a stage failed in its child process
│   ├── StageOutOfMemory   ... because it needed more memory than it was given
│   └── StageInterrupted   ... because its worker, node or time was taken away
│       └── StageKilled    ... because somebody killed it
├── ClusterError           the cluster refuses our jobs, or its jobs cannot work for us
├── RegressionError        a registered model is worse than it was
└── TrainingError          training diverged
"""

from config.errors import ConfigError, KdgatError, PluginError

__all__ = [
    "ArchiveError",
    "CaptureError",
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "DatasetError",
    "KdgatError",
    "MissingTeacherError",
    "NonFiniteError",
    "PluginError",
    "ProfileError",
    "RegressionError",
    "ResumeError",
    "SchemaError",
    "StageError",
    "StageInterrupted",
    "StageKilled",
    "StageOutOfMemory",
    "TrainingError",
    "UnsupportedError",
]


class CaptureError(KdgatError):
    """A file is not a capture, or one of its rows is wrong; names file, line and what was expected."""


class DatasetError(KdgatError):
    """A dataset lacks what a stage needs."""


class NonFiniteError(KdgatError):
    """A feature or a score is NaN or infinite; names capture and window."""


class SchemaError(KdgatError):
    """Graphs, vocabulary and model do not belong together."""


class UnsupportedError(KdgatError):
    """A network has a part that cannot be compiled or exported; says which."""


class CheckpointError(KdgatError):
    """A checkpoint or artifact is missing, torn or of another kind."""


class MissingTeacherError(CheckpointError):
    """Distillation was asked for and there is no teacher to distil from."""


class ResumeError(CheckpointError):
    """The state of an interrupted training is torn or altered: it cannot be gone on with, but begun anew."""


class ArchiveError(KdgatError):
    """A bundle or a vehicle profile is missing, torn, altered, newer or of another kind."""


class ProfileError(KdgatError):
    """A vehicle profile does not fit what it is used for."""


class StageError(KdgatError):
    """A stage failed in its child process; carries the child's own message.

    `reason` says why in a word for tables, `retry` whether another attempt is due, which whoever supervises decides.
    """

    reason = "error"
    retry = False
    peak_memory_mb: float | None = None


class StageOutOfMemory(StageError):
    """A stage needed more memory than it was given. (No MemoryError: Dask cannot carry one's subclasses between processes.)"""

    reason = "out_of_memory"


class StageInterrupted(StageError):
    """A stage was ended from outside; `reason` is walltime, preempted, cancelled, node_failure or lost."""

    reason = "lost"

    def __init__(self, message: str, reason: str = "lost") -> None:
        super().__init__(message)
        self.reason = reason


class StageKilled(StageInterrupted):
    """A stage was killed while its worker lives on, and nothing says that it had run out of memory."""


class ClusterError(KdgatError):
    """The cluster refuses our jobs, or its jobs cannot work for us; says what to change in the profile."""


class RegressionError(KdgatError):
    """A registered model is worse than it was, by more than the tolerance."""


class TrainingError(KdgatError):
    """Training diverged: a loss is no longer finite."""

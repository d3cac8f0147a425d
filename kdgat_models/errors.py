"""All errors that KD-GAT raises on purpose.

KdgatError
├── ConfigError            a setting is unknown, mistyped or contradictory             (also a ValueError)
├── CaptureError           a file is not a capture, or one of its rows is wrong
├── DatasetError           a dataset lacks what a stage needs (attacks, normal traffic, enough windows)
├── SchemaError            graphs, vocabulary and model do not belong together
├── CheckpointError        a checkpoint or artifact is missing, torn or of another kind
│   └── MissingTeacherError
├── StageError             a stage failed in its child process
│   └── StageOutOfMemory   ... because it needed more memory than it was given         (also a MemoryError)
└── TrainingError          training diverged
"""

from config.errors import ConfigError, KdgatError

__all__ = [
    "CaptureError",
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "KdgatError",
    "MissingTeacherError",
    "SchemaError",
    "StageError",
    "StageOutOfMemory",
    "TrainingError",
]


class CaptureError(KdgatError):
    """A file is not a capture, or one of its rows is wrong; names file, line and what was expected."""


class DatasetError(KdgatError):
    """A dataset lacks what a stage needs."""


class SchemaError(KdgatError):
    """Graphs, vocabulary and model do not belong together."""


class CheckpointError(KdgatError):
    """A checkpoint or artifact is missing, torn or of another kind."""


class MissingTeacherError(CheckpointError):
    """Distillation was asked for and there is no teacher to distil from."""


class StageError(KdgatError):
    """A stage failed in its child process; carries the child's own message."""


class StageOutOfMemory(StageError, MemoryError):
    """A stage needed more memory than it was given."""


class TrainingError(KdgatError):
    """Training diverged: a loss is no longer finite."""

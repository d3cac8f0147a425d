"""Scores of all folds and seeds -> the tables of a protocol."""

from pathlib import Path

from config.schema import PipelineConfig
from tasks.artifact import Artifact


def protocol(config: PipelineConfig, folder: Path, pool: Artifact, trials: list[Artifact]) -> Artifact:
    raise NotImplementedError

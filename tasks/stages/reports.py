"""JSON that stages write and others read back, as typed records. What does not fit is a CheckpointError with file and field."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel

from config.paths import METRICS
from kdgat_models.evaluation.ablation.rows import AblationReport, Score
from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Overlap
from kdgat_models.evaluation.rows import StoredRow
from kdgat_models.files import read_record
from kdgat_models.graphs.fold import FoldRecord

INGEST, HISTORY, DRIFT, REPORT = "ingest_report.json", "epochs.json", "drift.json", "report.json"
CAPTURES, AUDIT, TRIAL = "captures.json", "audit.json", "trial.json"
UNTRAINED_SCORES = "untrained"  # folder of a pool


class Report(BaseModel):
    """A record that may say more than is read back."""

    model_config = ConfigDict(frozen=True, extra="allow")


class EvaluationReport(Report):
    """`metrics.json`: a row for each model, split and attack type."""

    dataset: str
    variant: str
    occasion: str
    rows: tuple[StoredRow, ...]

    def as_json(self) -> dict[str, Any]:
        """The content of `metrics.json`."""
        return {**self.model_dump(exclude={"rows"}), "rows": [row.as_json() for row in self.rows]}


class TrainedEpoch(Report):
    """One epoch of `epochs.json`."""

    epoch: int
    seconds: float
    train: dict[str, float]
    validation: dict[str, float]

    def parts(self) -> tuple[tuple[str, dict[str, float]], ...]:
        """The figures of each part, with its name."""
        return ("train", self.train), ("validation", self.validation)


class IngestedCapture(Report):
    """One capture of `ingest_report.json`."""

    split: str
    capture: str
    digest: str
    duplicate_of: str | None


class IngestReport(Report):
    """`ingest_report.json`."""

    dataset: str
    captures: tuple[IngestedCapture, ...]

    @property
    def unique(self) -> list[IngestedCapture]:
        """Without those whose frames another one has."""
        return [row for row in self.captures if not row.duplicate_of]


class PooledCapture(Report):
    """One capture of a pool's `captures.json`."""

    name: str
    dataset: str
    split: str
    role: str
    attack: str
    path: Path
    vehicle: str
    group: str


class Audit(Report):
    """A pool's `audit.json`."""

    overlaps: list[Overlap]
    groups: dict[str, str]


class TrialRecord(Report):
    """`trial.json`: whose scores lie beside it."""

    fold: FoldRecord
    seed: int
    parameters: dict[str, int]


class ScoreRecord(Report):
    """`score.json` of a level of an ablation."""

    fold: str
    seed: int
    f1: float | None
    roc_auc: float | None


def read_metrics(folder: Path) -> EvaluationReport:
    """What an evaluation came to; raises a CheckpointError that names file and field."""
    return read_record(folder / METRICS, EvaluationReport)


def read_epochs(folder: Path) -> tuple[TrainedEpoch, ...]:
    """The epochs of a training, the first one first; raises as `read_metrics`."""
    return read_record(folder / HISTORY, RootModel[tuple[TrainedEpoch, ...]]).root


def read_drift(folder: Path) -> dict[str, dict[str, float]]:
    """Figures by split and name."""
    return read_record(folder / DRIFT, RootModel[dict[str, dict[str, float]]]).root


def read_ingest(folder: Path) -> IngestReport:
    """What ingest did with each capture; raises as `read_metrics`."""
    return read_record(folder / INGEST, IngestReport)


def read_pool(folder: Path) -> tuple[PooledCapture, ...]:
    """The captures of a pool, in the order of its store; raises as `read_metrics`."""
    return read_record(folder / CAPTURES, RootModel[tuple[PooledCapture, ...]]).root


def capture_facts(folder: Path) -> list[CaptureFacts]:
    """What a protocol has to know of the captures of a pool."""
    return [CaptureFacts(*(getattr(row, field) for field in CaptureFacts._fields)) for row in read_pool(folder)]


def read_audit(folder: Path) -> Audit:
    """Which captures of a pool share content; raises as `read_metrics`."""
    return read_record(folder / AUDIT, Audit)


def read_trial(folder: Path) -> TrialRecord:
    """Whose scores a trial holds; raises as `read_metrics`."""
    return read_record(folder / TRIAL, TrialRecord)


def read_score(file: Path) -> Score:
    """What a level of an ablation came to, on one fold with one seed."""
    found = read_record(file, ScoreRecord)
    return Score(found.fold, found.seed, found.f1, found.roc_auc)


def read_ablation(folder: Path) -> AblationReport:
    """The report of an ablation."""
    return read_record(folder / REPORT, RootModel[AblationReport]).root

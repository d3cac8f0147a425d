"""What a stage says while it runs: a record for each kind of event. It goes to the flow as JSON, and in words to both logs."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tasks.artifact import Artifact


class _Said(BaseModel):
    """Base of all events; `event` is what a kind is called in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def words(self) -> str:
        """The event as one line."""

    def as_json(self) -> dict[str, Any]:
        """The event as it is sent; `read_event` reads it."""
        return self.model_dump(mode="json")


class Started(_Said):
    """A worker begins a stage."""

    event: Literal["started"] = "started"
    worker: str  # address
    host: str
    job: str | None  # SLURM_JOB_ID
    time: float  # Unix time

    @property
    def words(self) -> str:
        return f"started on {self.host}" + (f" in job {self.job}" if self.job else "")


class Distillation(_Said):
    """Whether a model is distilled, and from which teacher."""

    event: Literal["distillation"] = "distillation"
    name: str
    temperature: float
    alpha: float
    model: str | None = None  # of the teacher, and so its scale and run folder
    scale: str | None = None
    teacher: Path | None = None

    @property
    def words(self) -> str:
        if self.teacher is None:
            return "Knowledge Distillation: DISABLED"
        how = f"{self.name}, T {self.temperature:g}, alpha {self.alpha:g}"
        return f"Knowledge Distillation: ENABLED ({how}, teacher {self.scale} {self.model} in {self.teacher})"


class WindowsCounted(_Said):
    """What the windows of one split are."""

    event: Literal["windows"] = "windows"
    split: str
    windows: int
    normal: int
    attack: int
    attacks: dict[str, int]  # by attack type
    nodes: int
    edges: int

    @property
    def words(self) -> str:
        kinds = ", ".join(f"{name} {windows:,}" for name, windows in self.attacks.items())
        attack = f"{self.attack:,} attack" + (f": {kinds}" if kinds else "")
        return (
            f"{self.split}: {self.windows:,} windows ({self.normal:,} normal, {attack}), "
            f"{self.nodes:,} nodes, {self.edges:,} edges"
        )


class EpochEnded(_Said):
    """One epoch of a training; its fields are those of `kdgat_models.training.state.EpochReport`."""

    event: Literal["epoch"] = "epoch"
    epoch: int  # from 1
    max_epochs: int
    steps: int
    train: dict[str, float]  # mean of each loss term
    validation: dict[str, float]
    best: bool
    seconds: float
    parts: int  # that a batch was cut into

    @property
    def words(self) -> str:
        mark = " *" if self.best else ""
        validation = _figures({name: value for name, value in self.validation.items() if name != "value"})
        extra = f" ({validation})" if validation else ""
        extra += f" in {self.parts} parts per batch" if self.parts > 1 else ""
        return (
            f"epoch {self.epoch}/{self.max_epochs} train {self.train['total']:.4g} "
            f"validation {self.validation['value']:.4g}{extra} {self.seconds:.1f} s{mark}"
        )


class Trained(_Said):
    """What a training came to, and what it cost."""

    event: Literal["summary"] = "summary"
    best_epoch: int
    epochs: int
    metrics: dict[str, float]
    checkpoint: Path
    parameters: int
    train_seconds: float
    seconds: float  # since the process began
    memory_mb: float  # peak, of the host
    gpu_memory_mb: float | None

    @property
    def words(self) -> str:
        gpu = f"{self.gpu_memory_mb:.0f} MB of GPU" if self.gpu_memory_mb else "no GPU"
        return (
            f"summary: best epoch {self.best_epoch} of {self.epochs} ({_figures(self.metrics)}), "
            f"checkpoint {self.checkpoint}, {self.parameters:,} parameters, {self.train_seconds:.1f} s of training, "
            f"{self.seconds:.1f} s in all, peak memory {self.memory_mb:.0f} MB of host, {gpu}"
        )


class CaptureRead(_Said):
    """A capture was ingested."""

    event: Literal["capture"] = "capture"
    split: str
    capture: str
    frames: int
    rejected: int  # rows that are no frames

    @property
    def words(self) -> str:
        rejected = f", {self.rejected} rows rejected" if self.rejected else ""
        return f"{self.split}/{self.capture}: {self.frames:,} frames{rejected}"


class GraphsBuilt(_Said):
    """A store of graphs was written."""

    event: Literal["graphs"] = "graphs"
    store: str
    windows: int
    frames: int

    @property
    def words(self) -> str:
        return f"{self.store}: {self.windows:,} windows of {self.frames:,} frames"


class Message(_Said):
    """Anything else that is worth a line."""

    event: Literal["log"] = "log"
    message: str

    @property
    def words(self) -> str:
        return self.message


class Failed(_Said):
    """The stage ends with an error."""

    event: Literal["failed"] = "failed"
    message: str
    out_of_memory: bool

    @property
    def words(self) -> str:
        return f"failed: {self.message}"


class Made(_Said):
    """The stage ends with an artifact."""

    event: Literal["result"] = "result"
    artifact: Artifact
    peak_memory_mb: float

    @property
    def words(self) -> str:
        return f"made {self.artifact.kind} {self.artifact.digest} in {self.artifact.path}"


Event = Started | Distillation | WindowsCounted | EpochEnded | Trained | CaptureRead | GraphsBuilt | Message | Failed | Made
EventHandler = Callable[[Event], None]
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def read_event(values: Mapping[str, Any]) -> Event:
    """The event that was sent as `values`; raises pydantic.ValidationError if it is none."""
    return _EVENT.validate_python(values)


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())

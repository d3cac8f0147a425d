"""The front door: trained models as one detector, from frames to verdicts and alarms.

Such as

    detector = Detector.load("car.kdgat")
    for alarm in detector.detect(frames):
        print(alarm.findings)
"""

from pathlib import Path
from typing import Self

from kdgat_models.bundle import load_bundle
from kdgat_models.can.frames import Frames
from kdgat_models.checkpoint import META, load_checkpoint
from kdgat_models.decision import F1
from kdgat_models.detection.alarms import Alarm
from kdgat_models.detection.engine import Engine, FusedOneByOne, engine_of
from kdgat_models.detection.session import Judge, Options, Session
from kdgat_models.detection.verdicts import Verdicts, joined_verdicts
from kdgat_models.errors import ArchiveError
from kdgat_models.graphs.schema import FeatureSchema, require_same_schema
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.registry import restore
from kdgat_models.scoring.models import LoadedModel
from kdgat_models.scoring.scorer import Scorer

PRETRAINED = Path(__file__).with_name("pretrained")
STUDENT = "student"  # the model that ships with the package


class Detector(Scorer):
    """Models that belong together, from frames to verdicts and alarms; what they say of graphs is the `Scorer`'s matter."""

    @classmethod
    def load(cls, source: Path | str = STUDENT, rule: str | None = None) -> Self:
        """Open a bundle, the folder of one trained model, or a model that ships with the package, by its name.

        Raises:
            ArchiveError: there is none, or the bundle is torn, altered, newer or of another kind.
            CheckpointError: a model is not whole, or has no threshold of the decision rule `rule`.
        """
        path = _found(source)
        if path.is_dir():
            checkpoint = load_checkpoint(path)
            models, own = {checkpoint.config.model_type: checkpoint}, F1
        else:
            bundle = load_bundle(path)
            models, own = bundle.checkpoints, bundle.about.rule
        opened = {str(name): LoadedModel(checkpoint, restore(checkpoint)) for name, checkpoint in models.items()}
        fusion = opened.pop("fusion", None)
        if not opened:
            raise ArchiveError(f"{path} holds a fusion without the models that it combines; give a bundle, which holds all")
        return cls(opened, fusion, rule or own)

    @property
    def schema(self) -> FeatureSchema:
        """Of the graphs that the models read.

        Raises:
            SchemaError: this version makes other features under this name.
        """
        schema = feature_schema(self.schema_record["name"])
        require_same_schema(self.schema_record, schema.describe())
        return schema

    def engine(self) -> Engine:
        """What scores windows one by one, so that a stream cut anywhere has the same scores."""
        if self.fused is not None:
            return FusedOneByOne(self.fused, self.has_node_head)
        name = self.decides
        return engine_of(name, self.models[name].network, self.has_node_head)

    def stream(self, name: str = "stream", options: Options | None = None) -> Session:
        """Begin a capture whose frames come in parts, from a file or a bus; `name` is for messages.

        Raises:
            SchemaError: this version makes other features than those that the models read.
            ProfileError: the models read features that know no profile.
            CheckpointError: the models do not say what adaptation needs.
        """
        judge = Judge(self.schema, self.config.preprocessing, self.vocabulary, self.engine(), self.decision, self.threshold)
        return Session(name, judge, options or Options())

    def scores(self, frames: Frames, options: Options | None = None) -> Verdicts:
        """Verdicts on all windows of a capture, as a stream of it would give; raises as `stream` and `Session.push`."""
        session = self.stream("capture", options)
        return joined_verdicts([session.push(frames).verdicts, session.finish().verdicts])

    def detect(self, frames: Frames, options: Options | None = None) -> list[Alarm]:
        """Alarms of a capture, each as it ended; raises as `stream` and `Session.push`."""
        session = self.stream("capture", options)
        updates = [session.push(frames), session.finish()]
        return [alarm for update in updates for alarm in update.alarms if not alarm.open]


def _found(source: Path | str) -> Path:
    """The file or folder that `source` names."""
    path, shipped = Path(source), PRETRAINED / f"{source}.kdgat"
    if path.is_file() or (path / META).is_file():
        return path
    if path.name == str(source) and shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in PRETRAINED.glob("*.kdgat"))) or "none"
    raise ArchiveError(
        f"there is no model {str(source)!r}: give a bundle (kdgat bundle makes one), the run folder of a trained model, or the "
        f"name of one that ships with the package: {names}"
    )

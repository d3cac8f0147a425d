"""The front door: trained models as one detector, from frames to verdicts and alarms.

detector = Detector.load("car.kdgat")
for alarm in detector.detect(frames):
    print(alarm.findings)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kdgat_models.bundle import load_bundle
from kdgat_models.can.frames import Frames
from kdgat_models.checkpoint import META, load_checkpoint
from kdgat_models.decision import F1, Decision
from kdgat_models.detection.alarms import Alarm
from kdgat_models.detection.engine import Engine, FusedOneByOne, engine_of
from kdgat_models.detection.session import Judge, Options, Session
from kdgat_models.detection.verdicts import Verdicts, joined_verdicts
from kdgat_models.errors import ArchiveError, SchemaError
from kdgat_models.evaluation.report import DetectorScores
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.schema import FeatureSchema, require_same_schema
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.registry import restore
from kdgat_models.scoring.fused import FusedDetector
from kdgat_models.scoring.models import LoadedModel

PRETRAINED = Path(__file__).with_name("pretrained")
STUDENT = "student"  # the model that ships with the package


class Detector:
    """One or two base models and perhaps their fusion, whose verdict counts if there is one; else that of the classifier."""

    def __init__(self, models: Mapping[str, LoadedModel], fusion: LoadedModel | None = None, rule: str = F1) -> None:
        """Combine opened models.

        Args:
            models: At least one base model, by name (`vgae`, `gat`).
            fusion: Of all base models.
            rule: The decision rule whose thresholds count.

        Raises:
            SchemaError: the models were trained on graphs of different schemas or vocabularies.
            CheckpointError: a model has no threshold of this rule; the fusion is none, or has no scale of a model.
        """
        self.models, self.fusion, self.rule = dict(models), fusion, rule
        self.fused = FusedDetector.of(fusion, models) if fusion else None
        checkpoints = [model.checkpoint for model in (*models.values(), *([fusion] if fusion else []))]
        self.config, self.schema_record = checkpoints[0].config, checkpoints[0].schema
        self.vocabulary = checkpoints[0].vocabulary
        for checkpoint in checkpoints:
            checkpoint.decision.threshold(rule)
            require_same_schema(self.schema_record, checkpoint.schema)
            if checkpoint.vocabulary != self.vocabulary:
                raise SchemaError("the models were trained on graphs with different vocabularies and cannot be combined")

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
    def decides(self) -> str:
        """Name of the model whose score is the verdict: fusion, gat or vgae."""
        return "fusion" if self.fusion else "gat" if "gat" in self.models else "vgae"

    @property
    def decision(self) -> Decision:
        """Of the model that decides."""
        decider = self.fusion or self.models[self.decides]
        return decider.checkpoint.decision

    @property
    def threshold(self) -> float:
        """From this score on a window is an attack."""
        return self.decision.threshold(self.rule)

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
            return FusedOneByOne(self.fused, self._has_node_head())
        name = self.decides
        return engine_of(name, self.models[name].network, self._has_node_head())

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

    def split_scores(self, store: GraphStore) -> list[DetectorScores]:
        """Scores [windows of the store] of each base model and of the fusion, with their thresholds; in batches.

        Raises:
            NonFiniteError: a model gives a feature or a score that is not finite.
        """
        data, windows = GraphData(store, self.vocabulary), np.arange(len(store))
        if self.fused is None or self.fusion is None:
            extracted = {name: extract(model.network, EXTRACTORS[name], data, windows) for name, model in self.models.items()}
            return [self._alone(name, extracted[name].scores) for name in self.models]
        scores, extracted = self.fused.run(data, windows)
        fused = DetectorScores("fusion", scores, self.fusion.checkpoint.decision.threshold(self.rule))
        return [*(self._alone(name, extracted[name].scores) for name in self.models), fused]

    def window_scores(self, data: GraphData, windows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of some windows by the model that decides, in batches; raises as `split_scores`."""
        if self.fused is not None:
            return self.fused.run(data, windows).scores
        return extract(self.models[self.decides].network, EXTRACTORS[self.decides], data, windows).scores

    def suspects(self, store: GraphStore) -> NDArray[np.uint32] | None:
        """The arbitration ID [windows] that the classifier holds for the attacker's, if it has a node head."""
        return suspects(self.models["gat"].network, GraphData(store, self.vocabulary)) if self._has_node_head() else None

    def _has_node_head(self) -> bool:
        model = self.models.get("gat")
        return model is not None and model.checkpoint.config.gat.node_head

    def _alone(self, name: str, scores: NDArray[np.float64]) -> DetectorScores:
        decision = self.models[name].checkpoint.decision
        return DetectorScores(name, scores, decision.threshold(self.rule), decision.temperature)


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

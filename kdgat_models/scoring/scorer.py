"""Trained models that belong together, at work on graphs: alone and fused, in batches."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kdgat_models.decision import F1, Decision, DetectorScores
from kdgat_models.errors import SchemaError
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.schema import require_same_schema
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.scoring.fused import FusedDetector
from kdgat_models.scoring.models import LoadedModel


class Scorer:
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
        return suspects(self.models["gat"].network, GraphData(store, self.vocabulary)) if self.has_node_head else None

    @property
    def has_node_head(self) -> bool:
        """Whether the classifier says which ID attacks."""
        model = self.models.get("gat")
        return model is not None and model.checkpoint.config.gat.node_head

    def _alone(self, name: str, scores: NDArray[np.float64]) -> DetectorScores:
        decision = self.models[name].checkpoint.decision
        return DetectorScores(name, scores, decision.threshold(self.rule), decision.temperature)

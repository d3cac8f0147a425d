"""Trained models -> their scores on whole stores of graphs, such as the test splits of a dataset."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import SchemaError
from kdgat_models.evaluation.report import Detector
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.scoring.fused import FusedDetector
from kdgat_models.scoring.models import LoadedModel


class SplitScorer:
    """Scores stores of graphs by base models and by the fusion of them; each base model is run once per store.

    The graphs are read through the vocabulary that the models were trained with, so that they may be of other captures.
    """

    def __init__(self, models: Mapping[str, LoadedModel], fusion: LoadedModel | None, rule: str) -> None:
        """Args:
            models: At least one base model, by name (`vgae`, `gat`).
            fusion: Of all base models; without one, these are scored alone.
            rule: The decision rule whose thresholds count.

        Raises:
            SchemaError: the models were trained on graphs with different vocabularies.
            CheckpointError: the fusion has no threshold of this rule.
        """
        self.models, self.rule = dict(models), rule
        self.fused = FusedDetector.of(fusion, models) if fusion else None
        self.fused_threshold = fusion.checkpoint.decision.threshold(rule) if fusion else None
        checkpoints = [model.checkpoint for model in (*models.values(), *([fusion] if fusion else []))]
        self.vocabulary = checkpoints[0].vocabulary
        if any(checkpoint.vocabulary != self.vocabulary for checkpoint in checkpoints):
            raise SchemaError("the models were trained on graphs with different vocabularies and cannot be combined")

    def detectors(self, store: GraphStore) -> list[Detector]:
        """Scores [windows of the store] of each base model and of the fusion, with their thresholds.

        Raises:
            CheckpointError: a model has no threshold of the decision rule.
            NonFiniteError: a model gives a feature or a score that is not finite.
        """
        data, windows = GraphData(store, self.vocabulary), np.arange(len(store))
        fused: list[Detector] = []
        if self.fused is None or self.fused_threshold is None:
            extracted = {name: extract(model.network, EXTRACTORS[name], data, windows) for name, model in self.models.items()}
        else:
            scores, extracted = self.fused.run(data, windows)
            fused = [Detector("fusion", scores, self.fused_threshold)]
        return [self._alone(name, extracted[name].scores) for name in self.models] + fused

    def suspects(self, store: GraphStore) -> NDArray[np.uint32] | None:
        """The arbitration ID [windows] that the classifier holds for the attacker's, if it has a node head."""
        model = self.models.get("gat")
        if model is None or not model.checkpoint.config.gat.node_head:
            return None
        return suspects(model.network, GraphData(store, self.vocabulary))

    def _alone(self, name: str, scores: NDArray[np.float64]) -> Detector:
        decision = self.models[name].checkpoint.decision
        return Detector(name, scores, decision.threshold(self.rule), decision.temperature)

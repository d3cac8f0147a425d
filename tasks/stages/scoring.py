"""Scores of the models of an evaluation on a test split."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdgat_models.errors import SchemaError
from kdgat_models.evaluation.calibration import probability
from kdgat_models.evaluation.report import Detector
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.files import atomic_path
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.store import GraphData, GraphStore
from tasks.artifact import Artifact
from tasks.stages.models import open_model


class Scorer:
    """Runs each base model once per split; fusion works on what they gave."""

    def __init__(
        self, dataset: GraphDataset, vgae: Artifact | None, gat: Artifact | None, fusion: Artifact | None, rule: str
    ) -> None:
        self.rule = rule
        given = {"vgae": vgae, "gat": gat}
        self.models = {name: open_model(artifact, dataset, name) for name, artifact in given.items() if artifact}
        self.base: BaseModels | None = None
        checkpoints = [model.checkpoint for model in self.models.values()]
        if fusion is not None and vgae is not None and gat is not None:
            checkpoint, method = open_model(fusion, dataset, "dqn")
            assert isinstance(method, FusionMethod)
            networks = {name: model.network for name, model in self.models.items()}
            self.base = BaseModels.restored(networks, checkpoint.figure)
            self.method, self.threshold = method, checkpoint.figure(rule)
            checkpoints.append(checkpoint)
        self.vocabulary = checkpoints[0].vocabulary
        if any(checkpoint.vocabulary != self.vocabulary for checkpoint in checkpoints):
            raise SchemaError("the models were trained on graphs with different vocabularies and cannot be combined")

    def __call__(self, store: GraphStore) -> list[Detector]:
        data, windows = GraphData(store, self.vocabulary), np.arange(len(store))
        if self.base is None:
            extracted = {name: extract(model.network, EXTRACTORS[name], data, windows) for name, model in self.models.items()}
            fused = []
        else:
            inputs, extracted = self.base.run(data, windows)
            fused = [Detector("fusion", fused_scores(self.method, inputs, Origin(store, windows)), self.threshold)]
        return [
            Detector(
                name,
                extracted[name].scores,
                model.checkpoint.figure(self.rule),
                model.checkpoint.thresholds.get("temperature"),
            )
            for name, model in self.models.items()
        ] + fused

    def suspects(self, store: GraphStore) -> NDArray[np.uint32] | None:
        """The ID that the classifier holds for the attacker in each window, if it has a node head."""
        model = self.models.get("gat")
        if model is None or not model.checkpoint.config.gat.node_head:
            return None
        return suspects(model.network, GraphData(store, self.vocabulary))


def write_scores(path: Path, store: GraphStore, detectors: list[Detector], accused: NDArray[np.uint32] | None) -> None:
    """One row per window."""
    captures = np.array([capture.name for capture in store.captures])
    columns = {"capture": captures[store.capture], "start_time": store.start_time, "label": store.label}
    columns |= {detector.model: detector.scores for detector in detectors}
    for model, scores, _, temperature in detectors:
        if temperature is not None:
            columns[f"{model}_probability"] = probability(scores, temperature)
    if accused is not None:
        columns["suspect"] = accused  # arbitration ID; it means something where the window is flagged
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)

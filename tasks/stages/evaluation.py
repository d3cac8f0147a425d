"""Graphs and trained models -> metrics of each model on each test split, and the scores they were computed from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from config.paths import METRICS
from config.schema import PipelineConfig
from kdgat_models.errors import DatasetError, SchemaError
from kdgat_models.evaluation.calibration import probability
from kdgat_models.evaluation.metrics import ALL
from kdgat_models.evaluation.report import Detector, split_report
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.files import atomic_path, digest_json, write_json
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.store import GraphData, GraphStore
from tasks.artifact import Artifact
from tasks.stages.events import emit
from tasks.stages.models import open_model
from tasks.stages.narration import emit_windows

AFTER_TRAINING = "training"


def evaluation(
    config: PipelineConfig,
    folder: Path,
    label: str,
    graphs: Artifact,
    vgae: Artifact | None,
    gat: Artifact | None,
    fusion: Artifact | None,
    occasion: str = AFTER_TRAINING,
) -> Artifact:
    """Evaluate the given models on every test split, at the thresholds in their checkpoints.

    Models read these graphs through the vocabulary that they were trained with, so that the graphs may be of other captures.
    """
    dataset = GraphDataset(graphs.path)
    stores = dataset.test_stores()
    if not any(len(store) for store in stores.values()):
        raise DatasetError(f"{config.dataset} has no window in any test split; add captures to one of its test_ folders")
    score = _Scorer(dataset, vgae, gat, fusion, config.decision.rule)
    rows: list[dict[str, Any]] = []
    for split, store in stores.items():
        if not len(store):
            emit("log", message=f"{split} has no whole window and is not evaluated")
            continue
        detectors = score(store)
        rows += split_report(split, store, detectors)
        _write_scores(folder / "scores" / f"{split}.parquet", store, detectors, score.suspects(store))
        emit_windows(split, store, np.arange(len(store)))
    rows = [{"variant": label, **row} for row in rows]
    write_json(folder / METRICS, {"dataset": config.dataset, "variant": label, "occasion": occasion, "rows": rows})
    fused = [row["f1"] for row in rows if row["attack"] == ALL and row["f1"] is not None]
    summary = {"variant": label, "splits": len(stores), "mean_f1": float(np.mean(fused)) if fused else None}
    return Artifact(kind="evaluation", path=folder, digest=digest_json(rows), summary=summary)


class _Scorer:
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


def _write_scores(path: Path, store: GraphStore, detectors: list[Detector], accused: NDArray[np.uint32] | None) -> None:
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

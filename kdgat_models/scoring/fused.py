"""A trained fusion with the base models that it combines, as one detector."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import CheckpointError
from kdgat_models.extraction.extract import Extracted
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.store import GraphData
from kdgat_models.scoring.models import LoadedModel


class FusedScores(NamedTuple):
    """Of some windows: the score of the fusion [windows], in [0, 1], and what each base model gave."""

    scores: NDArray[np.float64]
    extracted: dict[str, Extracted]


class FusedDetector(NamedTuple):
    """A fusion method and its base models, whose views are scaled as they were when the fusion was trained."""

    method: FusionMethod
    base: BaseModels

    @classmethod
    def of(cls, fusion: LoadedModel, models: Mapping[str, LoadedModel]) -> Self:
        """From a trained fusion and its base models, by their names.

        Raises:
            CheckpointError: `fusion` is no fusion, or its checkpoint has no scale of one of the models.
        """
        if not isinstance(fusion.network, FusionMethod):
            raise CheckpointError(f"a {fusion.checkpoint.config.model_type} was given as the fusion; give a checkpoint of one")
        networks = {name: model.network for name, model in models.items()}
        return cls(fusion.network, BaseModels(networks, fusion.checkpoint.decision.scales_of(networks)))

    def run(self, data: GraphData, windows: NDArray[np.int64]) -> FusedScores:
        """Run each base model once over `windows`, and fuse.

        Raises:
            NonFiniteError: a model gives a feature or a score that is not finite.
        """
        inputs, extracted = self.base.run(data, windows)
        return FusedScores(fused_scores(self.method, inputs, Origin(data.store, windows)), extracted)


def base_models(dataset: GraphDataset, models: Mapping[str, LoadedModel], rule: str) -> BaseModels:
    """The base models of a fusion that is to be trained; their views are one half at the thresholds of the decision rule.

    Args:
        dataset: On whose normal validation windows the spread of their scores is measured.
        models: By name.
        rule: The decision rule.

    Raises:
        CheckpointError: a model has no threshold of this rule.
        NonFiniteError: a model gives a feature or a score that is not finite.
    """
    networks = {name: model.network for name, model in models.items()}
    return BaseModels.of(dataset, networks, {name: model.checkpoint.decision.threshold(rule) for name, model in models.items()})

"""From windows to the inputs of fusion: all base models are run, their features joined, their scores scaled."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kdgat_models.decision import ScoreScale
from kdgat_models.extraction.extract import Extracted, extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.method import FusionData, FusionInputs
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import VALIDATION
from kdgat_models.graphs.store import GraphData, GraphStore


class BaseModels(NamedTuple):
    """The models that fusion combines, by name and in the order of their features, and the scales of their scores."""

    networks: dict[str, nn.Module]
    scales: dict[str, ScoreScale]

    @classmethod
    def of(cls, dataset: GraphDataset, networks: dict[str, nn.Module], thresholds: dict[str, float]) -> "BaseModels":
        """Scale scores by the spread that they have over normal validation windows."""
        normal = dataset.train.windows(VALIDATION, label=0)
        data = dataset.train_data()
        scales = {
            name: ScoreScale.of(thresholds[name], extract(network, EXTRACTORS[name], data, normal).scores)
            for name, network in networks.items()
        }
        return cls(networks, scales)

    def run(self, data: GraphData, windows: NDArray[np.int64]) -> tuple[FusionInputs, dict[str, Extracted]]:
        """Inputs of fusion for `windows`, and what each model gave for them."""
        extracted = {name: extract(network, EXTRACTORS[name], data, windows) for name, network in self.networks.items()}
        states = np.concatenate([extracted[name].features for name in EXTRACTORS], 1)
        views = {name: torch.from_numpy(self.scales[name](extracted[name].scores)) for name in EXTRACTORS}
        return FusionInputs(torch.from_numpy(states), views["vgae"], views["gat"]), extracted


def fusion_data(base: BaseModels, dataset: GraphDataset, windows: NDArray[np.int64]) -> FusionData:
    """Labelled inputs for `windows` of the training store."""
    inputs, _ = base.run(dataset.train_data(), windows)
    label = torch.from_numpy(dataset.train.label[windows].astype(np.int64))
    return FusionData(inputs, label, torch.from_numpy(following_rows(dataset.train, windows)))


def following_rows(store: GraphStore, windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row in `windows` of the window that comes next in the same capture, or -1 where it is not among them."""
    following = np.full(len(windows), -1, np.int64)
    adjacent = (np.diff(windows) == 1) & (np.diff(store.capture[windows]) == 0)
    following[:-1][adjacent] = np.flatnonzero(adjacent) + 1
    return following

"""Fusion methods by name. A new one is one file and one line here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from config.schema import DQNArchitecture
from kdgat_models.fusion.dqn import DqnFusion, DqnObjective
from kdgat_models.fusion.method import FusionMethod
from kdgat_models.fusion.mlp import MlpFusion
from kdgat_models.fusion.objective import FusionObjective
from kdgat_models.fusion.weighted_avg import WeightedAverage


class MethodEntry(NamedTuple):
    """How a fusion method is made from its architecture and state size, and how it is trained."""

    make: Callable[[DQNArchitecture, int], FusionMethod]
    objective: type[FusionObjective[Any]]


METHODS: dict[str, MethodEntry] = {
    "dqn": MethodEntry(DqnFusion, DqnObjective),
    "mlp": MethodEntry(MlpFusion, FusionObjective),
    "weighted_avg": MethodEntry(WeightedAverage, FusionObjective),
}

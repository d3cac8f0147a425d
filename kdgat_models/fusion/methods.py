"""Fusion methods by name. A new one is one file and one line here."""

from typing import Any, NamedTuple

from config.schema import PipelineConfig
from kdgat_models.fusion.dqn import DqnFusion, DqnObjective
from kdgat_models.fusion.method import FusionMethod
from kdgat_models.fusion.mlp import MlpFusion
from kdgat_models.fusion.objective import FusionObjective
from kdgat_models.fusion.weighted_avg import WeightedAverage


class MethodEntry(NamedTuple):
    """A fusion method, and how it is trained."""

    network: type[FusionMethod]
    objective: type[FusionObjective[Any]]


METHODS: dict[str, MethodEntry] = {
    "dqn": MethodEntry(DqnFusion, DqnObjective),
    "mlp": MethodEntry(MlpFusion, FusionObjective),
    "weighted_avg": MethodEntry(WeightedAverage, FusionObjective),
}


def chosen_method(config: PipelineConfig, num_ids: int, schema: dict[str, Any]) -> FusionMethod:
    """A new fusion of the method that the config names."""
    return METHODS[config.fusion.method].network.from_config(config, num_ids, schema)

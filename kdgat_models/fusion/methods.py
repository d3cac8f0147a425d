"""Fusion methods by name. A new one is one file and one line here."""

from typing import Any

from config.schema import FusionTraining
from kdgat_models.fusion.dqn import DQN
from kdgat_models.fusion.method import FusionMethod
from kdgat_models.fusion.mlp import MLP
from kdgat_models.fusion.objective import FusionEntry
from kdgat_models.fusion.weighted_avg import WEIGHTED_AVG

METHODS: dict[str, FusionEntry] = {"dqn": DQN, "mlp": MLP, "weighted_avg": WEIGHTED_AVG}


def chosen_method(config: FusionTraining, num_ids: int, schema: dict[str, Any]) -> FusionMethod:
    """A new fusion of the method that the config names."""
    return METHODS[config.fusion.method].network.from_config(config, num_ids, schema)

"""Fusion methods by name; each is one file in this folder and a line in `config/registry.py`, or of a package."""

from config.plugins import load
from config.schema import FusionTraining
from kdgat_models.fusion.method import FusionMethod
from kdgat_models.fusion.objective import FusionEntry
from kdgat_models.graphs.schema import SchemaRecord


def fusion_method(name: str) -> FusionEntry:
    """The fusion method called `name`, built in or of another package; raises as `config.plugins.load`."""
    return load("fusion", name)


def chosen_method(config: FusionTraining, num_ids: int, schema: SchemaRecord) -> FusionMethod:
    """A new fusion of the method that the config names."""
    return fusion_method(config.fusion.method).network.from_config(config, num_ids, schema)

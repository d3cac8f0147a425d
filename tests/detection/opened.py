"""Detectors with random weights: what must hold for every trained model holds for them."""

import torch
from conftest import tiny

from config.schema import PipelineConfig
from kdgat_models.checkpoint import Checkpoint
from kdgat_models.decision import Decision
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.registry import build
from kdgat_models.scoring.models import LoadedModel

SCALES = {"vgae_threshold": 3.0, "vgae_scale": 2.0, "gat_threshold": 0.5, "gat_scale": 1.5}
NO_IDS = Vocabulary(())
THRESHOLDS = {
    "vgae": {"f1": 3.0, "fpr_0.01": 4.0, "normal_upper": 3.5},
    "gat": {"f1": 0.0, "fpr_0.01": 0.5, "temperature": 2.0, "normal_upper": -0.5},
    "fusion": {"f1": 0.4, "fpr_0.01": 0.6, **SCALES},
}


def config_of(model: str, **settings: object) -> PipelineConfig:
    fusion = {"fusion.method": "weighted_avg"} if model == "fusion" else {}
    return tiny(model, **{"preprocessing.stride": 100, **fusion, **settings})


def loaded(model: str, seed: int = 0, known: Vocabulary = NO_IDS, **settings: object) -> LoadedModel:
    torch.manual_seed(seed)
    config = config_of(model, **settings)
    schema: SchemaRecord = feature_schema(config.preprocessing.feature_schema).describe()
    network = build(config, known.num_ids, schema).eval()
    checkpoint = Checkpoint(config, schema, known, Decision.read(THRESHOLDS[model]), network.state_dict())
    return LoadedModel(checkpoint, network)

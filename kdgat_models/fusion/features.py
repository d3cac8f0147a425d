"""The state of fusion: the features of all base models, side by side."""

from kdgat_models.extraction.extract import Extractor
from kdgat_models.extraction.gat import GatFeatures
from kdgat_models.extraction.vgae import VgaeFeatures

# In the order in which the features stand in the fusion state.
EXTRACTORS: dict[str, Extractor] = {"vgae": VgaeFeatures(), "gat": GatFeatures()}


def state_dim() -> int:
    """Width of the fusion state: all features of all base models."""
    return sum(len(extractor.names) for extractor in EXTRACTORS.values())

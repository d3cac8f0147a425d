"""The library: CAN frames, graphs, networks, training, fusion, evaluation, detector. Knows no Prefect, Dask or MLflow.

`kdgat_models.Detector` is imported when it is asked for: it needs PyTorch, as little else here does, and a change of it
is no change of all that lies in this package.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """The front door, `kdgat_models.detector.Detector`."""
    if name == "Detector":
        return import_module("kdgat_models.detector").Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

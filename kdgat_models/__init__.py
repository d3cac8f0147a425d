"""The library: CAN frames, graphs, networks, training, fusion, evaluation, detector. Knows no Prefect, Dask or MLflow."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdgat_models.detector import Detector

__all__ = ["Detector"]


def __getattr__(name: str) -> Any:
    """`kdgat_models.Detector`, which is imported when it is asked for: it needs PyTorch, and much of the library does not."""
    if name == "Detector":
        from kdgat_models.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

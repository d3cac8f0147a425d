"""One function for all forms that a classifier is exported to."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from kdgat_models.checkpoint import Checkpoint
from kdgat_models.errors import UnsupportedError
from kdgat_models.export.c import export_c
from kdgat_models.export.graph import export_onnx, export_torch

Form = Literal["onnx", "onnx-int8", "torch", "c"]
SUFFIXES: dict[Form, str] = {"onnx": ".onnx", "onnx-int8": ".int8.onnx", "torch": ".pt2", "c": ".c"}


class ExportReport(NamedTuple):
    """What was written."""

    form: Form
    path: Path
    size: int  # bytes
    use: str  # how it is run, in a sentence


def export_model(checkpoint: Checkpoint, to: Form, target: Path) -> ExportReport:
    """Write a classifier as `to` says.

    Raises:
        UnsupportedError: there is no such form, or not of this model, or what it takes is not installed; says which.
    """
    if to not in get_args(Form):
        raise UnsupportedError(f"there is no form {to!r}; there are: {', '.join(get_args(Form))}")
    missing = [name for name in _NEEDS.get(to, ()) if find_spec(name) is None]
    if missing:
        raise UnsupportedError(f"{to} needs {' and '.join(missing)}, not installed here: pip install 'kdgat[export]'")
    target.parent.mkdir(parents=True, exist_ok=True)
    _WRITERS[to](checkpoint, target)
    return ExportReport(to, target, target.stat().st_size, _USES[to])


def _onnx_int8(checkpoint: Checkpoint, target: Path) -> None:
    from kdgat_models.export.onnx import quantise

    whole = target.with_name(f".{target.name}.whole")
    try:
        export_onnx(checkpoint, whole)
        quantise(whole, target)
    finally:
        whole.unlink(missing_ok=True)


_WRITERS: dict[Form, Callable[[Checkpoint, Path], object]] = {
    "onnx": export_onnx,
    "onnx-int8": _onnx_int8,
    "torch": export_torch,
    "c": export_c,
}
_NEEDS: dict[Form, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript"), "onnx-int8": ("onnx", "onnxscript", "onnxruntime")}
_USES: dict[Form, str] = {
    "onnx": "onnxruntime runs it without PyTorch: kdgat_models.export.onnx.OnnxClassifier shows how",
    "onnx-int8": "as onnx; kdgat_models.export.onnx.loss measures what the rounding costs",
    "torch": "torch.export.load opens it, without this package",
    "c": "its first lines show its three functions; cc -O3 -std=c99 FILE -lm",
}

"""ASAM's measurement data, version 4, with bus logging."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import can

from kdgat_models.can.logs.log_format import LogFormat
from kdgat_models.errors import CaptureError


def _begins(content: bytes) -> bool:
    return content.startswith((b"MDF     ", b"UnFinMF "))


def _messages(path: Path) -> Iterator[can.Message]:
    try:
        from can.io.mf4 import MF4Reader
    except ImportError as error:  # python-can imports it without asammdf
        raise CaptureError(f"{path} is MF4, which needs asammdf: pip install asammdf") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of asammdf, on what it may drop in the future
        with path.open("rb") as file, MF4Reader(file) as reader:
            yield from reader


MF4 = LogFormat("mf4", _begins, _messages, None, "the bytes MDF")

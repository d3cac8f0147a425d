"""Vector's binary log."""

from collections.abc import Iterator
from pathlib import Path

import can

from kdgat_models.can.logs.log_format import LogFormat


def _begins(content: bytes) -> bool:
    return content.startswith(b"LOGG")


def _messages(path: Path) -> Iterator[can.Message]:
    with path.open("rb") as file, can.BLFReader(file) as reader:  # which leaves a file open that is none
        yield from reader


BLF = LogFormat("blf", _begins, _messages, None, "the bytes LOGG")

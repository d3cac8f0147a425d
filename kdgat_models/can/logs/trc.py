"""PEAK's trace."""

from collections.abc import Iterator
from pathlib import Path

import can

from kdgat_models.can.logs.log_format import LogFormat


def _begins(content: bytes) -> bool:
    return content.lstrip().startswith((b";$FILEVERSION", b";################", b";   Start time:"))


def _messages(path: Path) -> Iterator[can.Message]:
    with can.TRCReader(path) as reader:
        yield from reader


def _expected(path: Path) -> int:
    with path.open(encoding="latin-1") as file:
        return sum(bool(line.strip()) and not line.lstrip().startswith(";") for line in file)


TRC = LogFormat("trc", _begins, _messages, _expected, ";$FILEVERSION=2.1")

"""Vector's binary log. Times are absolute (UTC) where it has a start time, else they begin at 0."""

import zlib
from collections.abc import Iterator
from typing import Any, cast

from kdgat_models.can.readers.library import Event, LibraryReader
from kdgat_models.can.source import Source

OBJECT_HEADER = 16  # bytes, that python-can asks for where the next object may be


class _Torn(Exception):
    """The file ends where more must be."""


class _File:
    """What python-can reads: python-can takes what it gets for whole, so that a short read is told here."""

    def __init__(self, source: Source) -> None:
        self._blocks, self._buffer = source.blocks(), bytearray()
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and (block := next(self._blocks, b"")):
            self._buffer += block
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.read_bytes += len(piece)
        between = not piece and size == OBJECT_HEADER
        if len(piece) < size and size > 3 and not between:  # up to 3 bytes fill the last object up: some writers leave them out
            raise _Torn
        return piece

    def close(self) -> None:
        """What readers call at the end; the source is closed by whoever opened it."""


def _events(source: Source) -> Iterator[Event]:
    from can.io.blf import BLFParseError, BLFReader

    file, number = _File(source), 0
    try:
        reader = BLFReader(cast("Any", file))
        for message in reader:
            number += 1
            yield Event(number, message, str(int(str(message.channel)) + 1))  # as Vector's tools count them
        if file.read_bytes < reader.file_size:  # it ends between two objects
            raise _Torn
    except (_Torn, zlib.error, BLFParseError) as error:
        why = "the file ends here, and more must be" if isinstance(error, _Torn) else f"what follows is no BLF ({error!r})"
        yield Event(number + 1, None, "", "", f"{why}: it is torn, and the rest cannot be read", True)


BLF = LibraryReader("blf", "LOGG, and binary data", lambda line: line.startswith("LOGG"), _events)

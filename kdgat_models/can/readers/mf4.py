"""ASAM's measurement data, version 4, with bus logging. Times are absolute by the start of the measurement."""

import warnings
from collections.abc import Iterator
from traceback import walk_tb
from typing import TYPE_CHECKING

from kdgat_models.can.readers.library import Event, LibraryReader
from kdgat_models.can.source import Source
from kdgat_models.errors import CaptureError

if TYPE_CHECKING:
    import can


def _events(source: Source) -> Iterator[Event]:
    if source.path is None or source.is_packed:
        raise CaptureError(
            f"{source.name} is MF4, which cannot be read in one go: unpack it, and give the file itself by its name"
        )
    number = 0
    try:
        for message in _messages(str(source.path)):
            number += 1
            yield Event(number, message, "" if message.channel is None else str(message.channel))
    except Exception as error:  # asammdf raises what it likes of a torn file
        _discard(error)
        if not number:
            raise CaptureError(f"{source.name} cannot be read as MF4: {error!r}. Is it torn?") from error
        yield Event(number + 1, None, "", "", f"asammdf ends here ({error!r}): it is torn, and the rest cannot be read", True)
    if not number:
        raise CaptureError(f"{source.name} has no CAN frames: no bus was logged in this MF4 (no group CAN_DataFrame)")


def _discard(error: Exception) -> None:
    """What asammdf half built before it failed: close its file, and keep it from failing once more when it is collected."""
    from asammdf.blocks.mdf_v4 import MDF4
    from can.io.mf4 import MF4Reader

    for frame, _ in walk_tb(error.__traceback__):
        half = frame.f_locals.get("self")
        if isinstance(half, MDF4 | MF4Reader):
            vars(half)["_closed"] = True
            for name in ("_file", "_tempfile", "file"):
                if vars(half).get(name) is not None:
                    vars(half)[name].close()


def _messages(path: str) -> "Iterator[can.Message]":
    from can.io.mf4 import MF4Reader  # asammdf takes a second to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of asammdf, on what it may drop in the future
        with MF4Reader(path) as reader:
            yield from reader


MF4 = LibraryReader("mf4", "MDF     4.10, and binary data", lambda line: line.startswith(("MDF ", "UnFinMF ")), _events)

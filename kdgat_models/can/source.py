"""The bytes of a recording: a file, plain or compressed, or a stream that may never end.

What they begin with can be looked at before they are read, so that the content tells the format. Of a stream, what is there is
taken as it comes: nobody waits for a block to be full.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa

from kdgat_models.errors import CaptureError

BLOCK_BYTES = 16 * 2**20
STREAM_BYTES = 2**16  # of a stream, that are taken at once; as many as a pipe holds
HEAD_BYTES = 2**16  # more than any first line
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class Source:
    """Bytes that are read once, from the first to the last.

    Args:
        origin: A file, of which the suffixes .gz and .zst tell the compression, or an open binary stream, not compressed.
        block_bytes: How much of a file is read at once.

    Raises:
        CaptureError: it cannot be opened, or is a folder.
    """

    def __init__(self, origin: Path | BinaryIO, block_bytes: int = BLOCK_BYTES) -> None:
        self.path = origin if isinstance(origin, Path) else None
        self.name = str(origin) if isinstance(origin, Path) else _stream_name(origin)
        self._block_bytes = block_bytes
        self._stream = _open(origin) if isinstance(origin, Path) else origin
        self._head = self._begin()

    @property
    def first_line(self) -> str:
        """Its first line, or what there is of it within `HEAD_BYTES`; what is not ASCII is escaped."""
        first = self._head[:HEAD_BYTES].removeprefix(BYTE_ORDER_MARK).split(b"\n", 1)[0]
        return first.decode("ascii", "backslashreplace").strip()

    @property
    def head_text(self) -> str:
        """All that was looked at of its begin, as text, until `blocks` gives it away."""
        return self._head[:HEAD_BYTES].decode("ascii", "backslashreplace")

    @property
    def compression(self) -> str | None:
        """The compression that it begins like, if any."""
        return next((name for magic, name in COMPRESSED.items() if self._head.startswith(magic)), None)

    @property
    def is_packed(self) -> bool:
        """Whether it is a file that is unpacked while it is read."""
        return self.path is not None and _codec(self.path) is not None

    def blocks(self) -> Iterator[bytes]:
        """All that it holds, from the first byte, in pieces of any size.

        Raises:
            CaptureError: it cannot be read to its end.
        """
        head, self._head = self._head, b""
        if head:
            yield head
        while block := self._read():
            yield block

    def close(self) -> None:
        """Close the file. A stream is left to whoever opened it."""
        if self.path is not None:
            with suppress(OSError, pa.ArrowException):
                self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> bytes:
        head = bytearray()
        while b"\n" not in head and len(head) < HEAD_BYTES and (block := self._read()):
            head += block
        return bytes(head)

    def _read(self) -> bytes:
        try:
            if self.path is not None:
                return self._stream.read(self._block_bytes)
            return _what_is_there(self._stream)
        except (OSError, pa.ArrowException) as error:  # pyarrow's word for a torn .gz or .zst
            raise _unreadable(self.name, error) from error


def _what_is_there(stream: BinaryIO) -> bytes:
    """Some bytes as soon as there are some; none at the end."""
    read = getattr(stream, "read1", stream.read)  # a raw stream has no read1, and its read waits no longer
    return read(STREAM_BYTES) or b""


def _codec(path: Path) -> str | None:
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())


def _open(path: Path) -> BinaryIO:
    try:
        return pa.input_stream(str(path), compression=_codec(path))  # type: ignore[return-value]  # has read and close
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(str(path), error) from error


def _unreadable(name: str, error: Exception) -> CaptureError:
    return CaptureError(f"{name} cannot be read to its end: {error}. Is it torn, or not compressed?")


def _stream_name(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) and name != "<stdin>" else "standard input"

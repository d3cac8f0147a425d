"""The bytes of a text -> its lines with their numbers, in parts, so that memory does not grow with the file.

Where a part ends says nothing: whoever reads the parts must come to the same result however they are cut.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from kdgat_models.can.source import BLOCK_BYTES, BYTE_ORDER_MARK, Source
from kdgat_models.errors import CaptureError

MAX_LINE_BYTES = 16 * 2**20
MAX_LINES = 2**18  # in one part: a part of short lines takes many times its bytes
BLANK = " \t\r\n\v\f"  # all that may stand in a line that is empty


class Lines(NamedTuple):
    """Lines that follow each other, without their ends; what is not ASCII is escaped."""

    text: pl.Series
    first: int  # number of the first line, from 1
    torn: bool  # the file ends inside the last one

    @property
    def last(self) -> int:
        """Number of the last line, from 1."""
        return self.first + len(self.text) - 1


def read_lines(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Lines]:
    """`lines_of` a file, plain, .gz or .zst, of which `block_bytes` are read at once."""
    with Source(path, block_bytes) as source:
        yield from lines_of(source)


def lines_of(source: Source) -> Iterator[Lines]:
    """All lines but the blank ones at the end, which hold nothing.

    Raises:
        CaptureError: the source cannot be read to its end, or has a line of more than `MAX_LINE_BYTES`.
    """
    number, blank = 1, 0  # of the next line; blank lines before it that may be those at the end
    for block in _blocks(source):
        if number == 1:
            block = block.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901
        content = _without_blank_end(block)
        if content:
            for first in range(number - blank, number, MAX_LINES):
                yield Lines(pl.repeat("", min(MAX_LINES, number - first), eager=True), first, False)
            blank = 0
            for part in _small_parts(content):
                text = _split(part)
                yield Lines(text, number, not part.endswith(b"\n"))
                number += len(text)
        ends = block[len(content) :].count(b"\n")
        number, blank = number + ends, blank + ends


def _blocks(source: Source) -> Iterator[bytes]:
    """The text in blocks that end with a line; only the last may lack its line end."""
    rest = bytearray()
    for block in source.blocks():
        first, cut = block.find(b"\n"), block.rfind(b"\n") + 1
        if len(rest) + (len(block) if first < 0 else first) > MAX_LINE_BYTES:
            raise CaptureError(f"{source.name} is not a capture: it has a line of more than {MAX_LINE_BYTES} bytes")
        if cut:
            yield bytes(rest) + block[:cut]
            rest = bytearray(block[cut:])
        else:
            rest += block
    if rest:
        yield bytes(rest)


def _without_blank_end(block: bytes) -> bytes:
    """A block up to its last line that is not blank, with the end of that line."""
    content = len(block.rstrip(BLANK.encode()))
    if not content:
        return b""
    return block[: block.find(b"\n", content) + 1] if b"\n" in block[content:] else block


def _small_parts(block: bytes) -> Iterator[bytes]:
    """The block, cut at ends of lines into parts of at most `MAX_LINES` lines."""
    if np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")) <= MAX_LINES:  # `bytes.count` takes ten times as long
        yield block
        return
    middle = len(block) // 2
    cut = block.rfind(b"\n", 0, middle) + 1 or block.find(b"\n", middle) + 1
    yield from _small_parts(block[:cut])
    yield from _small_parts(block[cut:])


def _split(block: bytes) -> pl.Series:
    if not block.isascii():
        block = block.decode("ascii", "backslashreplace").encode()
    if b"\r" in block:  # `read_lines` would take it for the end of a line, or leave it out
        return pl.Series(block.removesuffix(b"\n").decode().split("\n"))
    return pl.read_lines(block).to_series()

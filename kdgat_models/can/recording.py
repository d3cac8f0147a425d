"""Recordings, of any format that the project reads: the one way in, for files and for what comes through a pipe.

Such as

    with open_recording(Path("drive.log")) as recording:
        for channel, frames in recording.parts():
            ...
    print(recording.counts)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import polars as pl

from config.plugins import names
from config.sections import BadRows
from kdgat_models.can.frames import Frames, frames_of
from kdgat_models.can.quarantine import BadRow
from kdgat_models.can.readers.format import Format
from kdgat_models.can.readers.registry import reader_named
from kdgat_models.can.sieve import Sieve, Sifted, with_reasons
from kdgat_models.can.source import BLOCK_BYTES, BYTE_ORDER_MARK, Source
from kdgat_models.errors import CaptureError


class Part(NamedTuple):
    """Frames of one channel that follow each other on its bus."""

    channel: str  # as the recording calls it; "" where its format knows of none
    frames: Frames


@dataclass
class Counts:
    """What a recording held; complete after its last part."""

    frames: dict[str, int] = field(default_factory=dict[str, int])  # by channel
    extended_frames: int = 0  # with an ID of 29 bits
    fd_frames: int = 0  # of CAN FD
    remote_frames: int = 0
    error_frames: int = 0  # reports of errors on the bus: they are no frames
    rejected: int = 0  # rows that are no frames
    first_rejected: BadRow | None = None

    @property
    def total(self) -> int:
        """Frames of all channels."""
        return sum(self.frames.values())

    def add(self, channel: str, frames: pl.DataFrame) -> None:
        """Count frames of a channel."""
        self.extended_frames += int(frames["is_extended_id"].sum())
        self.fd_frames += int(frames["is_fd"].sum())
        self.remote_frames += int(frames["is_remote_frame"].sum())
        self.frames[channel] = self.frames.get(channel, 0) + len(frames)

    def reject(self, rows: pl.DataFrame) -> None:
        """Count rows that are no frames, with their reasons."""
        if len(rows):
            self.first_rejected = self.first_rejected or BadRow(*rows.select(BadRow._fields).row(0))
            self.rejected += len(rows)


class Recording:
    """A recording that is open, and is read once from its first to its last frame."""

    def __init__(self, source: Source, format_: Format, on_bad_rows: BadRows) -> None:
        self.counts = Counts()
        self._source, self._format, self._on_bad_rows = source, format_, on_bad_rows

    @property
    def name(self) -> str:
        """The path as it was given, or `standard input`."""
        return self._source.name

    @property
    def format(self) -> str:
        """Name of its format in the registry."""
        return self._format.name

    @property
    def labelled(self) -> bool:
        """Whether its format says which frames belong to an attack. (Labels of others are 0.)"""
        return self._format.labelled

    @property
    def unit(self) -> str:
        """What the numbers of its bad rows count: line or frame."""
        return self._format.unit

    def parts(self) -> Iterator[Part]:
        """All frames, channel by channel as they come; memory does not grow with the recording.

        Raises:
            CaptureError: it cannot be read to its end; it has no frame at all; or, if `on_bad_rows` is error, a row is bad.
        """
        for found in self.sifted():
            for channel, frames in found.frames.items():
                yield Part(channel, frames_of(frames.to_arrow(compat_level=pl.CompatLevel.oldest())))
        self.require_frames()

    def sifted(self, reject: Callable[[pl.DataFrame], None] | None = None, most: int | None = None) -> Iterator[Sifted]:
        """The same as tables, with the bad rows and their reasons.

        Args:
            reject: Is given the bad rows, in their order, before they are counted.
            most: How many blocks are read; None: all.
        """
        with self:
            rows = self._format.rows(self._source)
            for found in Sieve().parts(rows if most is None else islice(rows, most)):
                if len(found.bad):
                    if self._on_bad_rows == "error":
                        raise self._bad_row_error(found.bad)
                    found = found._replace(bad=with_reasons(self._format, found.bad))  # noqa: PLW2901
                    if reject is not None:
                        reject(found.bad)
                    self.counts.reject(found.bad)
                self.counts.error_frames += found.error_frames
                for channel, frames in found.frames.items():
                    self.counts.add(channel, frames)
                yield found

    def require_frames(self) -> None:
        """To be called after the last part.

        Raises:
            CaptureError: there was no frame; says what there was instead.
        """
        if self.counts.total:
            return
        errors, rejected = self.counts.error_frames, self.counts.first_rejected
        raise CaptureError(
            f"{self.name} has no frames"
            + (f", only {errors} error frames" if errors else "")
            + (
                f": all {self.counts.rejected} rows were rejected, the first of them in {self._format.unit} "
                f"{rejected.line}: {rejected.reason}"
                if rejected
                else ""
            )
        )

    def close(self) -> None:
        """Close the file, if it was opened here."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _bad_row_error(self, bad: pl.DataFrame) -> CaptureError:
        row = with_reasons(self._format, bad.head(1)).row(0, named=True)
        shown = f"\n  the {self._format.unit}: {row['text'][:120]!r}" if row["text"] or self._format.unit == "line" else ""
        return CaptureError(
            f"{self.name} {self._format.unit} {row['line']}: {row['reason']}.{shown}\n  a valid one: "
            f"{self._format.example!r}\nMend the file, or go on without such rows: --on-bad-rows quarantine"
        )


def open_recording(
    source: Path | BinaryIO,
    readers: Sequence[str] | None = None,
    *,
    on_bad_rows: BadRows = "quarantine",
    block_bytes: int = BLOCK_BYTES,
) -> Recording:
    """Open a recording and find out its format by what it begins with.

    Args:
        source: A file, plain, .gz or .zst; or an open binary stream such as standard input, which is read as data come.
        readers: Names of the formats that it may have, tried in this order; None: all that there are.
        on_bad_rows: `quarantine` counts bad rows and goes on, `error` raises at the first.
        block_bytes: How much of a file is read at once; the result does not depend on it.

    Raises:
        CaptureError: it cannot be opened, is empty, is of none of these formats, or one of them is unknown.
    """
    formats = [reader_named(name) for name in (names("readers") if readers is None else readers)]
    if isinstance(source, Path) and source.is_dir():
        raise CaptureError(f"{source} is a folder; name the recordings in it")
    opened = Source(source, block_bytes)
    try:
        return Recording(opened, _format_of(opened, formats), on_bad_rows)
    except BaseException:
        opened.close()
        raise


def _format_of(source: Source, formats: Sequence[Format]) -> Format:
    first = source.first_line
    for format_ in formats:
        if format_.recognises(first):
            return format_
    if not first and not any(block.removeprefix(BYTE_ORDER_MARK).strip() for block in source.blocks()):
        raise CaptureError(f"{source.name} is empty; expected a capture")
    if source.compression is not None and not source.is_packed:
        raise CaptureError(
            f"{source.name} is packed with {source.compression}, which its name does not say: unpack it, or name it .gz or .zst"
        )
    for advice in (format_.advice(first) for format_ in formats):
        if advice:
            raise CaptureError(f"{source.name} line 1 is {first[:80]!r}: {advice}")
    expected = "\n".join(f"  {format_.name}: {format_.begins}" for format_ in formats)
    raise CaptureError(
        f"{source.name} line 1 is {first[:80]!r}: not a known capture format. Expected a first line such as\n{expected}"
    )

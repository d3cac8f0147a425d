"""A recording of any format -> frames, bus by bus, in parts as they come, so that memory does not grow with it.

What is no frame is set aside, counted and said; a recording of which nothing can be read is an error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from config.plugins import names
from kdgat_models.can.frames import Frames, padded_payload, told_apart
from kdgat_models.can.ingest import begin
from kdgat_models.can.lines import BLOCK_BYTES, Lines, Stream, read_lines
from kdgat_models.can.logs.log_format import LogFormat, blocks
from kdgat_models.can.logs.registry import log_formats
from kdgat_models.can.quarantine import BadRow
from kdgat_models.can.readers.reader import Reader
from kdgat_models.can.sieve import Sieve, Sifted, is_bad, parsed, with_reasons
from kdgat_models.errors import CaptureError

HEAD_BYTES = 4096  # by which a log format is known
ONLY = ""  # the channel of formats that know but one bus
DELTA_LINES = 256  # of candump's output on the screen, by which times since the last frame are told from times since the first


class Part(NamedTuple):
    """The next frames of one bus."""

    channel: str
    frames: Frames


class Counts:
    """What was found in a recording so far."""

    def __init__(self) -> None:
        self.frames: dict[str, int] = {}  # by channel
        self.extended_frames = self.fd_frames = self.remote_frames = self.error_frames = self.rejected = 0
        self.first_rejected: BadRow | None = None

    def add(self, channel: str, frames: pl.DataFrame) -> None:
        """Count the frames of one channel."""
        self.frames[channel] = self.frames.get(channel, 0) + len(frames)
        self.extended_frames += int(frames["is_extended_id"].sum())
        self.fd_frames += int(frames["is_fd"].sum())
        self.remote_frames += int(frames["is_remote_frame"].sum())

    def reject(self, rows: list[BadRow]) -> None:
        """Count rows that are no frames."""
        self.rejected += len(rows)
        if rows and self.first_rejected is None:
            self.first_rejected = rows[0]


class Recording:
    """An open recording: `parts` may be taken once, `counts` are complete after the last."""

    def __init__(self, name: str, format_name: str, labelled: bool) -> None:
        self.name, self.format, self.labelled = name, format_name, labelled
        self.counts = Counts()

    def parts(self) -> Iterator[Part]:
        """Frames as they come, in the order of each bus.

        Raises:
            CaptureError: the recording cannot be read to its end, or has no frame at all.
        """
        for channel, sifted in self._sifted():
            self.counts.reject(self._reasons(sifted.bad))
            if len(sifted.frames):
                self.counts.add(channel, sifted.frames)
                yield Part(channel, as_frames(sifted.frames))
        if not self.counts.frames:
            first = self.counts.first_rejected
            why = f"; the first of {self.counts.rejected} rows: line {first.line}: {first.reason}" if first else ""
            errors = f" but {self.counts.error_frames} error frames" if self.counts.error_frames else ""
            raise CaptureError(f"{self.name} has no frames{errors}{why}")

    def _sifted(self) -> Iterator[tuple[str, Sifted]]:
        raise NotImplementedError

    def _reasons(self, bad: pl.DataFrame) -> list[BadRow]:
        raise NotImplementedError


class _TextRecording(Recording):
    def __init__(self, name: str, reader: Reader, lines: Iterator[Lines]) -> None:
        super().__init__(name, reader.name, reader.labelled)
        self._reader, self._lines = reader, lines

    def _sifted(self) -> Iterator[tuple[str, Sifted]]:
        sieves: dict[str, Sieve] = {}
        for rows, last in _absolute(self._reader, self._lines):
            groups = _by_channel(rows)
            for channel in groups:
                sieves.setdefault(channel, Sieve(self._reader))
            for channel, sieve in sieves.items():  # what others wait for may have come
                yield channel, sieve.sift(groups.get(channel, rows[:0]), last)
        for channel, sieve in sieves.items():
            for sifted in sieve.finish():
                yield channel, sifted

    def _reasons(self, bad: pl.DataFrame) -> list[BadRow]:
        rows = with_reasons(self._reader, bad).select(BadRow._fields) if len(bad) else bad.select(BadRow._fields)
        return [BadRow(*row) for row in rows.iter_rows()]


class _LogRecording(Recording):
    def __init__(self, path: Path, log: LogFormat) -> None:
        super().__init__(str(path), log.name, labelled=False)
        self._path, self._log = path, log

    def _sifted(self) -> Iterator[tuple[str, Sifted]]:
        sieves: dict[str, Sieve] = {}
        read = 0
        for rows in self._blocks():
            rows = rows.with_columns(text=pl.lit(""), line=pl.int_range(read + 1, read + len(rows) + 1), torn=pl.lit(False))  # noqa: PLW2901
            read += len(rows)
            groups = _by_channel(rows)
            for channel in groups:
                sieves.setdefault(channel, Sieve(_NO_TEXT))
            for channel, sieve in sieves.items():
                yield channel, sieve.sift(groups.get(channel, rows[:0]), read)
        for channel, sieve in sieves.items():
            for sifted in sieve.finish():
                yield channel, sifted

    def _blocks(self) -> Iterator[pl.DataFrame]:
        messages = 0
        try:
            for block in blocks(self._log, self._path):
                self.counts.error_frames += block.error_frames
                messages += len(block.rows) + block.error_frames
                yield block.rows
            expected = self._log.expected(self._path) if self._log.expected else messages
        except CaptureError:
            raise
        except Exception as error:  # libraries raise what they like of a torn file
            raise CaptureError(
                f"{self._path} cannot be read to its end as {self._log.name} ({messages} frames were): {error!r}. Is it torn?"
            ) from error
        if expected > messages:
            unread = BadRow(0, f"{expected - messages} lines that look like frames were not understood by python-can", "")
            self.counts.reject([unread] * (expected - messages))

    def _reasons(self, bad: pl.DataFrame) -> list[BadRow]:
        return [BadRow(*row) for row in bad.select(BadRow._fields).iter_rows()]


def open_recording(source: Path | Stream, readers: list[str] | None = None) -> Recording:
    """Open a recording, whose content tells its format.

    Args:
        source: A file, or an open stream of text such as standard input.
        readers: Names of the text formats that it may have; None: all, and those of recording tools.

    Raises:
        CaptureError: it cannot be opened, is empty, or of no known format; lists them.
    """
    formats = names("readers") if readers is None else readers
    if not isinstance(source, Path):
        name = "standard input" if source.name in ("<stdin>", "0") else str(source.name)
        reader, lines = begin(name, read_lines(source), formats)
        return _TextRecording(name, reader, iter(lines))
    if source.is_dir():
        raise CaptureError(f"{source} is a folder; give the recordings in it")
    for log in log_formats() if readers is None else ():
        if log.begins(_head(source)):
            return _LogRecording(source, log)
    reader, lines = begin(source, read_lines(source, BLOCK_BYTES), formats)
    return _TextRecording(str(source), reader, iter(lines))


def as_frames(rows: pl.DataFrame) -> Frames:
    """Rows of COLUMNS -> frames."""
    identifiers = told_apart(rows["arbitration_id"].to_numpy(), rows["is_extended_id"].to_numpy())
    payload = rows["payload"].to_arrow(compat_level=pl.CompatLevel.oldest()).cast("binary")
    return Frames(
        rows["timestamp"].to_numpy(), identifiers, rows["dlc"].to_numpy(), padded_payload(payload), rows["label"].to_numpy()
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error.strerror}") from error


def _by_channel(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Rows of each channel; those that are no frames are with the first, for nobody knows their bus."""
    bad = is_bad(rows)
    channels = rows["channel"].filter(~bad).unique(maintain_order=True).to_list() or [ONLY]
    first, *others = channels
    mine = {first: rows.filter(bad | (pl.col("channel") == first)) if others or bad.any() else rows}
    return {**mine, **{other: rows.filter(~bad & (pl.col("channel") == other)) for other in others}}


def _absolute(reader: Reader, lines: Iterator[Lines]) -> Iterator[tuple[pl.DataFrame, int]]:
    """Parsed lines, and the number of the last; times since the last frame (`candump -td`) become times since the first.

    They are told by their steps back, which times since the first have none of: a few hundred lines are held until that is
    known. Only a file that begins at 0 can have either.
    """
    held: list[tuple[pl.DataFrame, int]] = []
    since_last: bool | None = None if reader.name == "candump_text" else False
    passed = 0.0
    for part in lines:
        held.append((parsed(reader, part), part.last))
        if since_last is None:
            since_last = _since_last(held, ended=False)
        if since_last is not None:
            for rows, last in held:
                rows, passed = _summed(rows, passed) if since_last else (rows, passed)  # noqa: PLW2901
                yield rows, last
            held = []
    since_last = _since_last(held, ended=True) if held else False
    for rows, last in held:
        rows, passed = _summed(rows, passed) if since_last else (rows, passed)  # noqa: PLW2901
        yield rows, last


def _since_last(held: list[tuple[pl.DataFrame, int]], ended: bool) -> bool | None:
    time = pl.concat([rows["timestamp"] for rows, _ in held]).drop_nulls().to_numpy()
    if len(time) and time[0] != 0:
        return False
    if len(time) < DELTA_LINES and not ended:
        return None
    return bool((np.diff(time) < 0).any())


def _summed(rows: pl.DataFrame, passed: float) -> tuple[pl.DataFrame, float]:
    time = passed + rows["timestamp"].fill_null(0.0).cum_sum()
    passed = float(time[-1]) if len(time) else passed
    return rows.with_columns(timestamp=pl.when(pl.col("timestamp").is_not_null()).then(time)), passed


def _no_text(line: str) -> str:
    return line


_NO_TEXT = Reader("log", "", None, "", _no_text)  # of rows that are no lines; none of them is bad but for its time

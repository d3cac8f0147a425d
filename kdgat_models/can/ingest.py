"""Text captures -> one validated Parquet file each, in parts, so that memory does not grow with the file."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from config.catalog import CAPTURE_SUFFIXES
from config.plugins import names
from config.sections import BadRows
from kdgat_models.can.frames import ARROW_SCHEMA, MAX_STANDARD_ID
from kdgat_models.can.lines import BLOCK_BYTES, Lines, read_lines
from kdgat_models.can.naming import COPY
from kdgat_models.can.quarantine import Quarantine, quarantine
from kdgat_models.can.readers.reader import Reader
from kdgat_models.can.readers.registry import reader_named
from kdgat_models.can.sieve import Sieve, with_reasons
from kdgat_models.errors import CaptureError
from kdgat_models.files import atomic_path

MAX_NAME_BYTES = 200  # names of files that are made of it are longer, and may have 255
HASHED = ("timestamp", "arbitration_id", "dlc", "payload", "label", "is_remote_frame")
FIRST_BYTES = 2**16  # more than any first line


class CaptureReport(NamedTuple):
    """What ingest did with one file."""

    source: str
    reader: str
    frames: int
    attack_frames: int
    rejected_rows: int
    seconds: float  # from the first to the last frame
    ids: int  # distinct arbitration IDs
    extended_frames: int  # with 29-bit IDs
    fd_frames: int  # of CAN FD
    digest: str  # of the frames: equal for two files that hold the same traffic


def ingest_capture(
    source: Path,
    target: Path,
    readers: Sequence[str] | None = None,
    on_bad_rows: BadRows = "error",
    block_bytes: int = BLOCK_BYTES,
) -> CaptureReport:
    """Validate every row of `source` and write its frames to `target` (Parquet, `ARROW_SCHEMA`).

    A row is bad if it has not the form of its format, or a value that no frame can have, or a time against the order of
    its neighbours (`kdgat_models.can.order`). Blank lines are bad rows, too, but at the end of the file.

    Args:
        source: A capture in one of the formats of `readers`; plain, .gz or .zst.
        target: Parquet file to write. It appears only when it is whole.
        readers: Names of the formats that the file may have, tried in this order on its first line; None: all that there are.
        on_bad_rows: `error` raises at the first row that is bad. `quarantine` writes such rows, with line and reason, to
            `{target stem}.rejected.csv` and goes on.
        block_bytes: How much is read at once; the result does not depend on it.

    Raises:
        CaptureError: not a capture, a bad row under `error`, or no frame at all.
    """
    reader, lines = begin(source, read_lines(source, block_bytes), names("readers") if readers is None else readers)
    summary = _Summary()
    with (
        atomic_path(target) as temporary,
        pq.ParquetWriter(temporary, ARROW_SCHEMA, compression="zstd") as writer,
        quarantine(target.with_name(f"{target.stem}.rejected.csv")) as rejected,
    ):
        for frames, bad in Sieve(reader).parts(lines):
            require_one_channel(source, summary.channels, frames)
            if len(bad) and on_bad_rows == "error":
                raise _bad_row_error(source, reader, bad)
            rejected.add(with_reasons(reader, bad))
            if len(frames):
                summary.add(frames)
                writer.write_table(_to_arrow(frames))
        if not summary.frames:
            raise CaptureError(f"{source} has no frames{_all_rejected(rejected)}")
    return summary.report(source, reader, rejected.count)


def require_one_channel(source: Path, channels: dict[str, int], frames: pl.DataFrame) -> None:
    """Count the frames of each channel in `channels`, and raise a CaptureError if there are several: buses are apart."""
    for channel, count in frames["channel"].value_counts().iter_rows():
        channels[channel] = channels.get(channel, 0) + count
    if len(channels) > 1:
        shown = ", ".join(f"{channel} ({count} frames)" for channel, count in sorted(channels.items()))
        raise CaptureError(
            f"{source} has frames of several buses: {shown}, and perhaps more. A capture is of one: write each into a file "
            "of its own, for candump's format with `grep ' can0 '`"
        )


class _Summary:
    """Running totals over the parts of one capture."""

    def __init__(self) -> None:
        self.frames = self.attack_frames = 0
        self.first_timestamp = self.last_timestamp = float("nan")
        self.extended_frames = self.fd_frames = 0
        self.ids: set[tuple[int, bool]] = set()
        self.channels: dict[str, int] = {}  # frames of each
        # One digest a column: parts may end anywhere without changing the result.
        self.digests = {column: hashlib.blake2b(digest_size=16) for column in HASHED}
        self.odd = hashlib.blake2b(digest_size=16)  # of the frames whose kind no other column tells

    def add(self, frames: pl.DataFrame) -> None:
        if not self.frames:
            self.first_timestamp = frames["timestamp"][0]
        self.last_timestamp = frames["timestamp"][-1]
        number = pl.int_range(self.frames, self.frames + len(frames), dtype=pl.Int64)
        odd = frames.select("is_extended_id", "is_fd", "arbitration_id", number=number).filter(
            pl.col("is_fd") | (pl.col("is_extended_id") & (pl.col("arbitration_id") <= MAX_STANDARD_ID))
        )
        for column in ("number", "is_fd") if len(odd) else ():
            self.odd.update(np.ascontiguousarray(odd[column].to_numpy()).tobytes())
        self.frames += len(frames)
        self.extended_frames += int(frames["is_extended_id"].sum())
        self.fd_frames += int(frames["is_fd"].sum())
        self.attack_frames += int(frames["label"].sum())
        self.ids.update(frames.select("arbitration_id", "is_extended_id").unique().rows())
        for column in HASHED:
            values = frames[column]
            # The payloads' lengths are the DLCs, so that hashing their joined bytes loses nothing.
            content = b"".join(values.to_list()) if column == "payload" else np.ascontiguousarray(values.to_numpy()).tobytes()
            self.digests[column].update(content)

    def report(self, source: Path, reader: Reader, rejected_rows: int) -> CaptureReport:
        parts = [digest.digest() for digest in self.digests.values()]
        if self.odd.digest() != hashlib.blake2b(digest_size=16).digest():
            parts.append(self.odd.digest())
        digest = hashlib.blake2b(b"".join(parts), digest_size=16)
        return CaptureReport(
            source.name,
            reader.name,
            self.frames,
            self.attack_frames,
            rejected_rows,
            round(self.last_timestamp - self.first_timestamp, 6),
            len(self.ids),
            self.extended_frames,
            self.fd_frames,
            digest.hexdigest(),
        )


def capture_name(raw: Path) -> str:
    """A file's name without its suffix; it names the capture in tables, logs and other files.

    Raises:
        CaptureError: it cannot, because it is too long, empty, not printable, or would be taken for that of a copy.
    """
    suffix = max((suffix for suffix in CAPTURE_SUFFIXES if raw.name.lower().endswith(suffix)), key=len)
    name = raw.name[: -len(suffix)]
    if COPY in name or not name.isprintable() or not 0 < len(os.fsencode(name)) <= MAX_NAME_BYTES:
        raise CaptureError(
            f"a capture cannot be called {name!r} ({str(raw.parent)!r}): its name has 1 to {MAX_NAME_BYTES} bytes of printable "
            f"characters, in UTF-8, and no {COPY!r}, which names copies with synthetic attacks; rename the file"
        )
    return name


def reader_of(source: Path, readers: Sequence[str]) -> Reader:
    """The format of a capture by its first line, found out without reading the rest.

    Raises:
        CaptureError: the file cannot be opened, is empty, or its first line is of none of these formats.
    """
    return begin(source, read_lines(source, FIRST_BYTES), readers)[0]


def begin(source: Path | str, lines: Iterator[Lines], formats: Sequence[str]) -> tuple[Reader, Iterable[Lines]]:
    """The reader of a file, and its lines of data.

    Raises:
        CaptureError: its first line is of none of these `formats`, or one of them is unknown.
    """
    readers = [reader_named(name) for name in formats]
    first = next(lines, None)
    if first is None:
        raise CaptureError(f"{source} is empty; expected a capture")
    text = first.text[0].strip()
    for reader in readers:
        if reader.header is not None and re.sub(r"\s", "", text).lower() == reader.header:
            return reader, _chained(Lines(first.text[1:], first.first + 1, first.torn), lines)
        # The first line of a format without a header may itself be bad: then the shape of the line decides.
        if reader.header is None and not reader.parse(pl.Series([text]))["dlc"].has_nulls():
            return reader, _chained(first, lines)
    expected = "\n".join(f"  {reader.name}: {reader.header or reader.example}" for reader in readers)
    raise CaptureError(
        f"{source} line 1 is {text[:80]!r}: not a known capture format. Expected a first line such as\n{expected}"
    )


def _chained(first: Lines, others: Iterator[Lines]) -> Iterator[Lines]:
    yield first
    yield from others


def _bad_row_error(source: Path, reader: Reader, bad: pl.DataFrame) -> CaptureError:
    row = with_reasons(reader, bad.head(1)).row(0, named=True)
    return CaptureError(
        f"{source} line {row['line']}: {row['reason']}.\n  the line: {row['text'][:120]!r}\n  a valid one: "
        f"{reader.example!r}\nMend the file, or go on without such rows: --on-bad-rows quarantine"
    )


def _all_rejected(rejected: Quarantine) -> str:
    if rejected.first is None:
        return ""
    return (
        f": all {rejected.count} rows were rejected, the first of them in line {rejected.first.line}: {rejected.first.reason}"
    )


def _to_arrow(frames: pl.DataFrame) -> pa.Table:
    return (
        frames.select(ARROW_SCHEMA.names)
        .to_arrow(compat_level=pl.CompatLevel.oldest())
        .select(ARROW_SCHEMA.names)
        .cast(ARROW_SCHEMA)
    )

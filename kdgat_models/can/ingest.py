"""Text captures -> one validated Parquet file each, in blocks, so that memory does not grow with the file."""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kdgat_models.can.frames import ARROW_SCHEMA, MAX_STANDARD_ID
from kdgat_models.can.readers import READERS, Reader
from kdgat_models.errors import CaptureError
from kdgat_models.files import atomic_path

OnBadRows = Literal["error", "quarantine"]

BLOCK_BYTES = 16 * 2**20
# Real recorders step back by up to 1 ms inside injected bursts; the second term is the rounding of epoch seconds.
MAX_STEP_BACK_S = 1e-3 + 1e-6
COLUMNS = ("timestamp", "arbitration_id", "dlc", "payload", "label", "is_remote_frame")


class CaptureReport(NamedTuple):
    """What ingest did with one file."""

    source: str
    reader: str
    frames: int
    attack_frames: int
    rejected_rows: int
    seconds: float  # from the first to the last frame
    ids: int  # distinct arbitration IDs
    digest: str  # of the frames: equal for two files that hold the same traffic


class BadRow(NamedTuple):
    """One row that is not a frame."""

    line: int  # from 1
    reason: str
    text: str


def ingest_capture(
    source: Path, target: Path, readers: Sequence[str] = tuple(READERS), on_bad_rows: OnBadRows = "error"
) -> CaptureReport:
    """Validate every row of `source` and write its frames to `target` (Parquet, `ARROW_SCHEMA`).

    Args:
        source: A capture in one of the formats of `READERS`; plain, .gz or .zst.
        target: Parquet file to write. It appears only when it is whole.
        readers: Names of the formats that the file may have, tried in this order on its first line.
        on_bad_rows: `error` raises at the first row that is not a frame. `quarantine` writes such rows, with line
            and reason, to `{target stem}.rejected.csv` and goes on.

    Raises:
        CaptureError: not a capture, a bad row under `error`, or no frame at all.
    """
    blocks = _blocks(source)
    reader, first_block, first_line = _recognise(source, blocks, readers)
    summary = _Summary()
    rejected_path = target.with_name(f"{target.stem}.rejected.csv")
    with atomic_path(target) as temporary, pq.ParquetWriter(temporary, ARROW_SCHEMA, compression="zstd") as writer:
        for lines, line, ended in _line_blocks(first_block, first_line, blocks):
            frames, bad = _parse_block(reader, lines, line, ended, summary.last_timestamp)
            if bad and on_bad_rows == "error":
                raise _bad_row_error(source, reader, bad)
            summary.add(frames, bad)
            writer.write_table(_to_arrow(frames))
        if not summary.frames:
            raise CaptureError(f"{source} has no frames ({len(summary.bad_rows)} rows were rejected)")
    if summary.bad_rows:
        _write_rejected(rejected_path, summary.bad_rows)
    else:
        rejected_path.unlink(missing_ok=True)
    return summary.report(source, reader)


def attack_type(capture: str) -> str:
    """Attack type that a capture's name announces: `DoS-kia` -> DoS, `rpm-accessory-1` -> rpm; `none` if it has none."""
    stem = re.sub(r"_(dataset|data)$", "", capture)
    if re.match(r"(attack[-_]free|accessory|normal)", stem, re.IGNORECASE):
        return "none"
    return re.match(r"force-neutral|[^-]+", stem).group()  # type: ignore[union-attr]  # a file name is not empty


class _Summary:
    """Running totals over the blocks of one capture."""

    def __init__(self) -> None:
        self.frames = self.attack_frames = 0
        self.bad_rows: list[BadRow] = []
        self.first_timestamp = self.last_timestamp = float("nan")
        self.ids: set[int] = set()
        # One digest a column: blocks may end anywhere without changing the result.
        self.digests = {column: hashlib.blake2b(digest_size=16) for column in COLUMNS}

    def add(self, frames: pl.DataFrame, bad: list[BadRow]) -> None:
        self.bad_rows += bad
        if not len(frames):
            return
        if not self.frames:
            self.first_timestamp = frames["timestamp"][0]
        self.last_timestamp = frames["timestamp"][-1]
        self.frames += len(frames)
        self.attack_frames += int(frames["label"].sum())
        self.ids.update(frames["arbitration_id"].unique().to_list())
        for column in COLUMNS:
            values = frames[column]
            # The payloads' lengths are the DLCs, so that hashing their joined bytes loses nothing.
            content = b"".join(values.to_list()) if column == "payload" else np.ascontiguousarray(values.to_numpy()).tobytes()
            self.digests[column].update(content)

    def report(self, source: Path, reader: Reader) -> CaptureReport:
        digest = hashlib.blake2b(b"".join(digest.digest() for digest in self.digests.values()), digest_size=16)
        seconds = round(self.last_timestamp - self.first_timestamp, 6)
        return CaptureReport(
            source.name,
            reader.name,
            self.frames,
            self.attack_frames,
            len(self.bad_rows),
            seconds,
            len(self.ids),
            digest.hexdigest(),
        )


def _open(source: Path) -> BinaryIO:
    codec = {".gz": "gzip", ".zst": "zstd"}.get(source.suffix.lower())
    return pa.input_stream(str(source), compression=codec)  # type: ignore[return-value]  # has read(), which is all we use


def _blocks(source: Path) -> Iterator[bytes]:
    """The file's text in blocks that end with a line; only the last may lack its line end."""
    rest = b""
    try:
        with _open(source) as stream:
            while block := stream.read(BLOCK_BYTES):
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield rest + block[:cut]
                    rest = block[cut:]
                else:
                    rest += block
                if len(rest) > BLOCK_BYTES:
                    raise CaptureError(f"{source} is not a capture: it has a line of more than {BLOCK_BYTES} bytes")
    except OSError as error:  # pyarrow's word for a torn .gz or .zst
        raise CaptureError(f"{source} cannot be read to its end: {error}. Is it torn, or not compressed?") from error
    if rest:
        yield rest


def _recognise(source: Path, blocks: Iterator[bytes], names: Sequence[str]) -> tuple[Reader, bytes, int]:
    """The reader of this file, its first block of data lines, and the number of the first of them."""
    block = next(blocks, b"").removeprefix(b"\xef\xbb\xbf")
    if not block.strip():
        raise CaptureError(f"{source} is empty; expected a capture")
    first, _, rest = block.partition(b"\n")
    text = first.decode("ascii", "backslashreplace").strip()
    for name in names:
        reader = READERS[name]
        if reader.header is not None and re.sub(r"\s", "", text).lower() == reader.header:
            return reader, rest, 2
        # The first line of a format without a header may itself be bad: then the shape of the line decides.
        if reader.header is None and not reader.parse(pl.Series([text]))["dlc"].has_nulls():
            return reader, block, 1
    expected = "\n".join(f"  {name}: {READERS[name].header or READERS[name].example}" for name in names)
    raise CaptureError(
        f"{source} line 1 is {text[:80]!r}: not a known capture format. Expected a first line such as\n{expected}"
    )


def _line_blocks(first: bytes, line: int, blocks: Iterator[bytes]) -> Iterator[tuple[pl.Series, int, bool]]:
    """Yield (lines, number of the first, whether the last line has its end) block by block."""
    block: bytes | None = first
    while block is not None:
        following = next(blocks, None)
        ended = block.endswith(b"\n")
        if following is None:
            block = block.rstrip()  # blank lines at the end of a file hold nothing
        if block:
            if not block.isascii():
                block = block.decode("ascii", "backslashreplace").encode()
            lines = pl.Series("line", block.removesuffix(b"\n").decode().split("\n")) if b"\r" in block else _split(block)
            yield lines, line, ended
            line += len(lines)
        block = following


def _split(block: bytes) -> pl.Series:
    return pl.read_lines(block).to_series()


def _parse_block(
    reader: Reader, lines: pl.Series, first_line: int, ended: bool, last_timestamp: float
) -> tuple[pl.DataFrame, list[BadRow]]:
    frames = reader.parse(lines)
    valid = ~pl.any_horizontal(pl.col(column).is_null() for column in COLUMNS)
    frames = frames.with_columns(valid=valid, row=pl.int_range(pl.len()))
    good = frames.filter("valid")
    previous = good["timestamp"].shift(1, fill_value=last_timestamp)
    steps_back = (good["timestamp"] - previous < -MAX_STEP_BACK_S).fill_null(False)
    bad = [
        BadRow(first_line + row, _why(reader, lines, row, ended), lines[row])
        for row in frames.filter(~pl.col("valid"))["row"].to_list()
    ]
    if steps_back.any():
        for row, before in zip(good["row"].filter(steps_back), previous.filter(steps_back), strict=True):
            reason = f"time steps back to {frames['timestamp'][row]} from {before}; at most 1 ms is allowed"
            bad.append(BadRow(first_line + row, reason, lines[row]))
        good = good.filter(~steps_back)
    return good.select(COLUMNS), sorted(bad)


def _why(reader: Reader, lines: pl.Series, row: int, ended: bool) -> str:
    if not lines[row].strip():
        return "the line is empty"
    torn = row == len(lines) - 1 and not ended
    return reader.diagnose(lines[row]) + (" (the file ends inside this line: it looks truncated)" if torn else "")


def _bad_row_error(source: Path, reader: Reader, bad: list[BadRow]) -> CaptureError:
    more = f" ({len(bad)} bad rows in this part of the file)" if len(bad) > 1 else ""
    return CaptureError(
        f"{source} line {bad[0].line}: {bad[0].reason}{more}.\n  the line: {bad[0].text[:120]!r}\n  a valid one: "
        f"{reader.example!r}\nMend the file, or go on without such rows: --on-bad-rows quarantine"
    )


def _to_arrow(frames: pl.DataFrame) -> pa.Table:
    return (
        frames.with_columns(is_extended_id=pl.col("arbitration_id") > MAX_STANDARD_ID)
        .to_arrow(compat_level=pl.CompatLevel.oldest())
        .select(ARROW_SCHEMA.names)
        .cast(ARROW_SCHEMA)
    )


def _write_rejected(path: Path, bad_rows: list[BadRow]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(BadRow._fields)
        writer.writerows(bad_rows)

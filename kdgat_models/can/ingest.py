"""Recordings -> one validated Parquet file each, in parts, so that memory does not grow with the file."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from config.catalog import CAPTURE_SUFFIXES
from config.sections import BadRows
from kdgat_models.can.frames import ARROW_SCHEMA, told_apart
from kdgat_models.can.naming import COPY
from kdgat_models.can.quarantine import quarantine
from kdgat_models.can.recording import Recording, open_recording
from kdgat_models.can.source import BLOCK_BYTES, HEAD_BYTES
from kdgat_models.errors import CaptureError
from kdgat_models.files import atomic_path

MAX_NAME_BYTES = 200  # names of files that are made of it are longer, and may have 255


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
    extended_frames: int  # with an ID of 29 bits
    fd_frames: int  # of CAN FD
    remote_frames: int
    error_frames: int  # reports of errors on the bus, which are no frames, and are left out
    channel: str  # as the recording calls it; "" where its format knows of none


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
    recording = open_recording(source, readers, on_bad_rows=on_bad_rows, block_bytes=block_bytes)
    summary = _Summary()
    with (
        recording,
        atomic_path(target) as temporary,
        pq.ParquetWriter(temporary, ARROW_SCHEMA, compression="zstd") as writer,
        quarantine(target.with_name(f"{target.stem}.rejected.csv")) as rejected,
    ):
        for found in recording.sifted(rejected.add):
            for frames in found.frames.values():
                if len(recording.counts.frames) == 1:  # else all is counted, to be said, and nothing is kept
                    summary.add(frames)
                    writer.write_table(_to_arrow(frames))
        recording.require_frames()
        require_one_channel(recording)
    return summary.report(recording)


class _Summary:
    """Running totals over the parts of one capture."""

    def __init__(self) -> None:
        self.attack_frames = 0
        self.first_timestamp = self.last_timestamp = float("nan")
        self.ids: set[int] = set()
        # One digest a column: parts may end anywhere without changing the result.
        self.digests = [hashlib.blake2b(digest_size=16) for _ in range(6)]

    def add(self, frames: pl.DataFrame) -> None:
        if np.isnan(self.first_timestamp):
            self.first_timestamp = frames["timestamp"][0]
        self.last_timestamp = frames["timestamp"][-1]
        self.attack_frames += int(frames["label"].sum())
        identifier = told_apart(frames["arbitration_id"].to_numpy(), frames["is_extended_id"].to_numpy())
        self.ids.update(np.unique(identifier).tolist())
        flags = frames["is_remote_frame"].to_numpy() + 2 * frames["is_fd"].to_numpy().astype(np.uint8)
        contents = (
            frames["timestamp"].to_numpy().tobytes(),
            identifier.tobytes(),
            frames["dlc"].to_numpy().tobytes(),
            b"".join(frames["payload"].to_list()),  # the payloads' lengths are the DLCs: joining their bytes loses nothing
            frames["label"].to_numpy().tobytes(),
            flags.tobytes(),
        )
        for digest, content in zip(self.digests, contents, strict=True):
            digest.update(content)

    def report(self, recording: Recording) -> CaptureReport:
        digest = hashlib.blake2b(b"".join(digest.digest() for digest in self.digests), digest_size=16)
        counts = recording.counts
        return CaptureReport(
            Path(recording.name).name,
            recording.format,
            counts.total,
            self.attack_frames,
            counts.rejected,
            round(self.last_timestamp - self.first_timestamp, 6),
            len(self.ids),
            digest.hexdigest(),
            counts.extended_frames,
            counts.fd_frames,
            counts.remote_frames,
            counts.error_frames,
            next(iter(counts.frames)),
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


def reader_of(source: Path, readers: Sequence[str]) -> str:
    """Name of the format of a recording by what it begins with, found out without reading the rest.

    Raises:
        CaptureError: the file cannot be opened, is empty, or begins like none of these formats.
    """
    with open_recording(source, readers, block_bytes=HEAD_BYTES) as recording:
        return recording.format


def require_one_channel(recording: Recording) -> None:
    """Refuse a recording of several buses, which are not to be mixed, as far as it has been read.

    Raises:
        CaptureError: it has frames of more than one channel; names them, and says how to choose one.
    """
    channels = recording.counts.frames
    if len(channels) > 1:
        counts = ", ".join(f"{channel} ({frames:,} frames)" for channel, frames in channels.items())
        raise CaptureError(
            f"{recording.name} has frames of {len(channels)} channels, and a capture is of one bus: {counts}. Make a file of "
            f"each, such as: grep ' {next(iter(channels))} ' {recording.name} > one_bus.log"
        )


def _to_arrow(frames: pl.DataFrame) -> pa.Table:
    return frames.to_arrow(compat_level=pl.CompatLevel.oldest()).select(ARROW_SCHEMA.names).cast(ARROW_SCHEMA)

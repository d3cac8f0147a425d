"""Some thousand damaged captures: each is read, or refused in one message; no row is lost, none is invented."""

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from capture_mutations import Case, case
from plain_reader import Row, data_rows, plain_row, recognised
from test_captures import healthy

from config.plugins import names
from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.can.ingest import CaptureReport, ingest_capture
from kdgat_models.can.naming import EXTENDED
from kdgat_models.can.readers.reader import TORN, Reader
from kdgat_models.can.readers.registry import reader_named
from kdgat_models.errors import CaptureError

READERS = [name for name in names("readers") if isinstance(reader_named(name), Reader)]
NEEDS_LINE_END = {name: reader_named(name).needs_line_end for name in READERS}
TEXTS, PARQUETS, PARTS = 2000, 2000, 4
TOLERANCE_S = 1e-3 + 2e-6


def read(case: Case, folder: Path, **options) -> CaptureReport | CaptureError:
    source = folder / f"x{case.suffix}"
    source.write_bytes(case.stored)
    try:
        return ingest_capture(source, folder / "x.parquet", **options)
    except CaptureError as error:
        return error


def rejected_rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "x.rejected.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rows_of(frames: Frames) -> list[Row]:
    payloads = [bytes(row) for row in frames.payload]
    columns = (frames.timestamp.tolist(), frames.arbitration_id.tolist(), frames.dlc.tolist(), payloads, frames.label.tolist())
    return [Row(*row) for row in zip(*columns, strict=True)]


def check_frames(case: Case, report: CaptureReport, folder: Path) -> None:
    """What was read is what the plain reader reads, row by row; what was rejected is no frame, or out of order."""
    assert case.content is not None
    rows, rejected = data_rows(case.content, report.reader), rejected_rows(folder)
    assert report.frames + report.rejected_rows + report.error_frames == len(rows)
    assert report.rejected_rows == len(rejected)
    lines = [int(row["line"]) for row in rejected]
    assert lines == sorted(set(lines))
    plain = {number: plain_row(report.reader, text) for number, text in rows}
    for row in rejected:
        out_of_order = re.match("time (steps back|jumps ahead)", row["reason"])
        cut = NEEDS_LINE_END[report.reader] and row["reason"] == TORN and int(row["line"]) == rows[-1][0]
        assert cut or (plain[int(row["line"])] is not None) == bool(out_of_order), row
    kept = [row for number, row in plain.items() if number not in set(lines)]
    assert all(kept)
    assert report.error_frames == sum(row.error for row in kept if row)
    expected = [row._replace(payload=row.payload[:8].ljust(8, b"\0")) for row in kept if row and not row.error]
    assert {row.channel for row in expected} == {report.channel}
    expected = [row._replace(channel="") for row in expected]
    assert rows_of(read_frames(folder / "x.parquet")) == expected
    times = np.array([row.timestamp for row in expected])
    assert np.all(times >= np.maximum.accumulate(times) - TOLERANCE_S)


def check_refusal(case: Case, error: CaptureError) -> None:
    assert f"/x{case.suffix} " in str(error)
    if case.content is None:
        return
    first = case.content.removeprefix(b"\xef\xbb\xbf").decode("ascii", "backslashreplace").split("\n")[0]
    if "not a known capture format" in str(error):
        assert not recognised(first)
    elif "is empty" in str(error):
        assert not case.content.removeprefix(b"\xef\xbb\xbf").strip()
    elif "has frames of" in str(error):
        found = [plain_row(case.reader, text) for _, text in data_rows(case.content, case.reader)]
        assert len({row.channel for row in found if row and not row.error}) > 1
    else:
        assert "has no frames" in str(error)
        rows = [plain_row(reader, text) for reader in READERS for _, text in data_rows(case.content, reader)[1:-1]]
        assert not any(row and not row.error for row in rows)


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_text_captures_are_read_row_by_row_or_refused(tmp_path, part):
    outcomes = {"read": 0, "refused": 0, "rows rejected": 0}
    for number in range(part, TEXTS, PARTS):
        one = case(number)
        try:
            result = read(one, tmp_path, on_bad_rows="quarantine")
            rejected = rejected_rows(tmp_path) if isinstance(result, CaptureReport) else []
            if isinstance(result, CaptureError):
                outcomes["refused"] += 1
                check_refusal(one, result)
            else:
                outcomes["read"] += 1
                outcomes["rows rejected"] += result.rejected_rows
                if one.content is not None:
                    check_frames(one, result, tmp_path)
            again = read(one, tmp_path, on_bad_rows="quarantine", block_bytes=len(one.stored) // (2 + number % 4) + 1)
            assert type(again) is type(result)
            assert repr(again) == repr(result) or one.content is None  # what cannot be read to its end may show so first
            assert (rejected_rows(tmp_path) if isinstance(again, CaptureReport) else []) == rejected
            strict = read(one, tmp_path)
            if isinstance(result, CaptureReport):
                assert isinstance(strict, CaptureError) == bool(rejected)
            if rejected:
                assert f" line {rejected[0]['line']}: {rejected[0]['reason']}" in str(strict)
        except Exception as error:
            error.add_note(f"case {number}: {one}")
            raise
        for path in tmp_path.iterdir():
            assert not path.name.startswith("."), path
            path.unlink()
    assert min(outcomes.values()) > 10  # the cases are neither all healthy nor all hopeless


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    match rng.integers(4):
        case 0:
            return content[: rng.integers(len(content))]
        case 1:
            at = int(rng.integers(len(content)))
            return content[:at] + rng.bytes(rng.integers(1, 9)) + content[at:]
        case 2:
            at = int(rng.integers(len(content)))
            changed[at : at + 8] = rng.bytes(8)
        case _:
            for _ in range(rng.integers(1, 4)):
                changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_damaged_parquet_captures_are_read_within_their_bounds_or_refused(tmp_path, compression):
    path, rng = tmp_path / "x.parquet", np.random.default_rng(0)
    pq.write_table(healthy(), path, compression=compression)
    content = path.read_bytes()
    refused = 0
    for number in range(PARQUETS // 2):
        spoilt = damaged(content, rng)
        path.write_bytes(spoilt)
        try:
            frames = read_frames(path)
        except CaptureError:
            refused += 1
            continue
        except Exception as error:
            error.add_note(f"case {number}")
            raise
        assert np.isfinite(frames.timestamp).all()
        assert frames.timestamp.min() >= 0
        assert (frames.arbitration_id & ~np.uint32(EXTENDED)).max() < 2**29
        assert frames.dlc.max() <= 64
        assert frames.label.max() <= 1
        assert not np.any(frames.payload[np.arange(8) >= frames.dlc[:, None]])
    assert 0 < refused < PARQUETS // 2

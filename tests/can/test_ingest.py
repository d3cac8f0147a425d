import csv
import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.plugins import names
from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import ARROW_SCHEMA, read_frames
from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.naming import attack_type
from kdgat_models.can.readers.reader import Reader
from kdgat_models.can.readers.registry import reader_named
from kdgat_models.errors import CaptureError

READERS = [name for name in names("readers") if isinstance(reader_named(name), Reader)]

HEADER = "timestamp,arbitration_id,data_field,attack\n"
GOOD = HEADER + "1.5,081,40844E00000000A4,0\n1.6,7FF,,1\n"


def parquet(tmp_path: Path) -> Path:
    return tmp_path / "out" / "capture.parquet"


def test_four_columns_become_typed_columns(capture, tmp_path):
    report = capture(GOOD)
    table = pq.read_table(parquet(tmp_path))
    assert table.schema.equals(ARROW_SCHEMA)
    assert pq.read_metadata(parquet(tmp_path)).row_group(0).column(0).compression == "ZSTD"
    assert table.to_pylist()[0] == {
        "timestamp": 1.5,
        "arbitration_id": 0x81,
        "dlc": 8,
        "payload": bytes.fromhex("40844E00000000A4"),
        "label": 0,
        "is_extended_id": False,
        "is_remote_frame": False,
        "is_fd": False,
    }
    assert (report.frames, report.attack_frames, report.ids, report.rejected_rows) == (2, 1, 2, 0)
    assert (report.source, report.reader, report.seconds) == ("capture.csv", "four_column_csv", 0.1)


def test_hcrl_csv_has_as_many_bytes_as_the_dlc_says(capture, tmp_path):
    report = capture(
        "1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R\n1478198376.389636,05a2,2,25,0a,T\n1478198376.4,0000,0,R\n"
    )
    frames = read_frames(parquet(tmp_path))
    assert report.reader == "hcrl_csv"
    assert frames.dlc.tolist() == [8, 2, 0]
    assert frames.payload[1].tolist() == [0x25, 0x0A, 0, 0, 0, 0, 0, 0]
    assert frames.label.tolist() == [0, 1, 0]


def test_hcrl_text_knows_remote_frames(capture, tmp_path):
    lines = [
        "Timestamp: 1479121434.850202        ID: 0316    000    DLC: 8    05 20 ea 0a 20 1a 00 7f",
        "Timestamp: 1479121434.850500        ID: 0153    000    DLC: 0    ",
        "Timestamp: 1479121434.850700        ID: 0153    100    DLC: 8",
    ]
    assert capture("\n".join(lines) + "\n", "normal.txt").reader == "hcrl_text"
    table = pq.read_table(parquet(tmp_path))
    assert table["is_remote_frame"].to_pylist() == [False, False, True]
    assert table["dlc"].to_pylist() == [8, 0, 8]


@pytest.mark.parametrize("reader", list(map(reader_named, READERS)), ids=READERS)
def test_every_reader_reads_its_own_example_and_diagnoses_others(reader):
    frames = reader.parse(pl.Series([reader.example, "nonsense"]))
    assert frames["dlc"].null_count() == 1
    assert reader.diagnose("nonsense")
    assert (frames["timestamp"][0] > 1e9) == ("(?P<timestamp>" in reader.line)


def test_a_capture_that_tells_no_time_keeps_its_order_and_has_the_timestamp_0(capture, tmp_path):
    lines = ["arbitration_id,data_field,attack", "081,40844E00000000A4,0", "316,,1", "081,40844E00000000A5,0"]
    assert capture("\n".join(lines) + "\n").reader == "untimed_csv"
    table = pq.read_table(parquet(tmp_path))
    assert table["arbitration_id"].to_pylist() == [0x81, 0x316, 0x81]
    assert table["timestamp"].to_pylist() == [0.0] * 3
    assert table["dlc"].to_pylist() == [8, 0, 8]


def test_29_bit_ids_are_marked_extended(capture, tmp_path):
    capture(HEADER + "1,18FEF100,00,0\n2,7FF,00,0\n3,800,00,0\n4,1FFFFFFF,00,0\n")
    assert pq.read_table(parquet(tmp_path))["is_extended_id"].to_pylist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (HEADER, "has no frames"),
        ("foo,bar\n1,2\n", "not a known capture format"),
        ("timestamp,id,data,attack\n1,081,40,0\n", "not a known capture format"),
        ("\x00\xff\x80" * 50, "not a known capture format"),
        (HEADER + "1.0,081,40,0\n2.0,xyz,40,0\n", "line 3: the arbitration ID is 'xyz'"),
        (HEADER + "1.0,FFFFFFFF,40,0\n", "line 2: the arbitration ID is 'FFFFFFFF'; the highest is 1FFFFFFF"),
        (HEADER + "1.0,081,404,0\n", "line 2: the payload '404' has an odd number"),
        (HEADER + "1.0,081,4G,0\n", "line 2: the payload is '4G'; expected hex digits"),
        (HEADER + "1.0,081," + "00" * 9 + ",0\n", "has 9 bytes; a CAN frame carries at most 8"),
        (HEADER + "nan,081,40,0\n", "line 2: the timestamp is 'nan'"),
        (HEADER + "-1,081,40,0\n", "line 2: the timestamp is '-1'"),
        (HEADER + "1e39,081,40,0\n", "line 2: the timestamp is '1e39'; expected seconds, at most 7258118400"),
        (HEADER + f"{MAX_TIMESTAMP + 1},081,40,0\n", "line 2: the timestamp is '7258118401.0'"),
        (HEADER + "1e999,081,40,0\n", "line 2: the timestamp is '1e999'"),
        (HEADER + "1,081,40,2\n", "line 2: the label is '2'"),
        (HEADER + "1,081,40\n", "line 2: 3 fields instead of 4"),
        (HEADER + "1,081,40,0\n1,08", "line 3: .*it looks truncated"),
        (HEADER + "1,081,40,0\n\n2,081,,0\n", "line 3: the line is empty"),
        (HEADER + "5,081,40,0\n1,081,,0\n", "line 3: time steps back to 1.0 from 5.0"),
        ("1.0,0316,3,05,21,R\n", "not a known capture format"),
        ("1.0,0316,2,05,21,R\n1.0,0316,3,05,21,R\n", "line 2: 2 payload bytes, but the DLC is 3"),
        ("1.0,0316,2,05,21,R\n1.0,0316,9,05,21,R\n", "line 2: the DLC is '9'"),
        ("1.0,0316,2,05,21,R\n1.0,0316,2,05,21,X\n", "line 2: the flag is 'X'"),
        (HEADER + "1,081,40\u00e9,0\n", "line 2: the payload"),
    ],
)
def test_bad_input_is_an_error_with_file_line_and_what_is_expected(capture, tmp_path, text, why):
    with pytest.raises(CaptureError, match=f"capture.csv.*{why}"):
        capture(text)
    assert not parquet(tmp_path).exists()
    assert not list(parquet(tmp_path).parent.glob(".*"))


def test_the_error_shows_a_valid_line_and_the_way_on(capture):
    with pytest.raises(CaptureError, match=r"1513920167.161964,081(.|\n)*--on-bad-rows quarantine"):
        capture(HEADER + "1,081,40,9\n")


def test_the_length_is_from_the_first_to_the_last_frame_in_microseconds(capture):
    """Seconds since 1970 are not exact: 0.3 s between two of them come out as 0.2999999523."""
    assert capture(HEADER + "1700000000.1,081,,0\n1700000000.2,082,,0\n1700000000.4,083,,0\n").seconds == 0.3
    assert capture(HEADER + "1,081,,0\n1.000001,082,,0\n").seconds == 0.000001
    rows = [f"{i / 2},{i % 7:03X},,{i % 2}\n" for i in range(300)]
    report = capture(HEADER + "".join(rows), block_bytes=100)  # in many parts
    assert (report.seconds, report.frames, report.attack_frames, report.ids) == (149.5, 300, 150, 7)


def test_of_a_long_line_the_error_shows_120_characters(capture):
    with pytest.raises(CaptureError, match=f"\n  the line: '{'z' * 120}'\n  a valid one: '1513920167.161964,081"):
        capture(HEADER + "z" * 121 + "\n")


def test_the_rejected_rows_lie_beside_the_capture_as_a_table_of_line_reason_and_text(capture, tmp_path):
    capture(HEADER + "1,081,40,0\nx\n2,081,40,0\n" + 'a,"b"\n' * 300, on_bad_rows="quarantine", block_bytes=64)
    rejected = (parquet(tmp_path).parent / "capture.rejected.csv").read_bytes()
    why = "fields instead of 4 (timestamp,arbitration_id,data_field,attack)"
    expected = ["line,reason,text", f'3,"1 {why}",x', *(f'{i},"2 {why}","a,""b"""' for i in range(5, 305)), ""]
    assert rejected.decode() == "\r\n".join(expected)


def test_a_torn_gzip_file_is_an_error(capture):
    torn = gzip.compress(GOOD.encode() * 2000)[:-100]
    with pytest.raises(CaptureError, match=r"capture.csv.gz cannot be read to its end"):
        capture(torn, "capture.csv.gz")


def test_quarantine_keeps_every_rejected_row_with_line_and_reason(capture, tmp_path):
    text = HEADER + "1,081,40,0\n2,081,4,0\n3,081,40,0\nx,081,40,0\n0.5,081,40,0\n4,081,40,1\n"
    report = capture(text, on_bad_rows="quarantine")
    with (parquet(tmp_path).parent / "capture.rejected.csv").open() as file:
        rejected = list(csv.DictReader(file))
    assert (report.frames, report.rejected_rows) == (3, 3)
    assert [(row["line"], row["text"]) for row in rejected] == [("3", "2,081,4,0"), ("5", "x,081,40,0"), ("6", "0.5,081,40,0")]
    assert all(row["reason"] for row in rejected)
    assert report.frames + report.rejected_rows == text.count("\n") - 1


def test_quarantine_of_every_row_is_still_an_error(capture):
    with pytest.raises(CaptureError, match="no frames"):
        capture(HEADER + "x,081,40,0\n", on_bad_rows="quarantine")


def test_known_quirks_of_real_files_pass(capture, tmp_path):
    report = capture("\ufeff" + HEADER.replace("\n", "\r\n") + "1.0005,081,40\t,0\r\n1.0,0x082,,1\r\n1.0,082,  ,1\r\n\r\n")
    assert (report.frames, report.attack_frames) == (3, 2)
    assert read_frames(parquet(tmp_path)).dlc.tolist() == [1, 0, 0]


def test_every_row_is_checked_not_the_first_thousand(capture):
    rows = "".join(f"{i / 1000:.3f},081,40,0\n" for i in range(50_000))
    with pytest.raises(CaptureError, match="line 50002"):
        capture(HEADER + rows + "51,081,4,0\n")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed_files_read_like_plain_ones(capture, suffix):
    import pyarrow as pa

    codec = {"": None, ".gz": "gzip", ".zst": "zstd"}[suffix]
    text = GOOD.encode()
    stored = pa.compress(text, codec, asbytes=True) if codec else text
    assert capture(stored, f"capture.csv{suffix}").digest == capture(GOOD).digest


def test_blocks_change_neither_lines_nor_digest(capture):
    rows = "".join(f"{i / 1000:.3f},{i % 2048:03X},{'AB' * (i % 9)},{i % 2}\n" for i in range(3000))
    whole = capture(HEADER + rows)
    assert capture(HEADER + rows, block_bytes=1000) == whole
    with pytest.raises(CaptureError, match="line 3002"):
        capture(HEADER + rows + "x\n", block_bytes=1000)


REMOTE = "Timestamp: {time}        ID: {id}    {flags}    DLC: {dlc}    {data}"


def test_the_digest_tells_apart_what_differs_in_any_column(capture):
    """Times, IDs, DLCs, payloads, labels and flags: two captures have one digest only if they are the same traffic."""
    columns = {"time": "1.5", "id": "081", "data": "40", "label": "0"}
    others = {"time": "1.4", "id": "082", "data": "41", "label": "1"}
    texts = {"": "{time},{id},{data},{label}".format(**columns)}
    texts |= {name: "{time},{id},{data},{label}".format(**columns | {name: other}) for name, other in others.items()}
    texts |= {"dlc": "1.5,081,4000,0", "empty": "1.5,081,,0"}
    two = [f"0.5,001,AABB,0\n{text}\n2,002,CC,1\n" for text in texts.values()]
    digests = [capture(HEADER + text).digest for text in two]
    fields = {"time": "1.5", "id": "0081", "dlc": "0", "flags": "000", "data": ""}
    for name, value in (("flags", "000"), ("flags", "100"), ("dlc", "1 40")):
        line = REMOTE.format(**fields | {name: value})
        digests.append(capture("\n".join([REMOTE.format(**fields), line, ""])).digest)
    # the same bytes, cut into payloads elsewhere, and the same two frames the other way round
    digests += [capture(HEADER + text).digest for text in ("1,081,40,0\n1,081,4142,0\n", "1,081,4041,0\n1,081,42,0\n")]
    digests += [capture(HEADER + text).digest for text in ("1,081,,0\n1,082,,0\n", "1,082,,0\n1,081,,0\n")]
    assert len(set(digests)) == len(digests)


def test_a_remote_frame_has_another_digest_than_an_empty_frame_with_the_same_dlc(capture):
    empty, remote = (REMOTE.format(time="1.5", id="0081", flags=flags, dlc="0", data="") for flags in ("000", "100"))
    assert capture(f"{empty}\n").digest != capture(f"{remote}\n").digest


def test_the_digest_is_of_the_frames_and_not_of_the_file(capture):
    plain = capture(HEADER + "1,081,4a,0\n2,82,,1\n")
    assert capture(HEADER + "1.0,0x081,4A,0\r\n2e0,082,,1", "other.csv").digest == plain.digest


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 2e9), st.integers(0, 0x1FFFFFFF), st.binary(max_size=8), st.integers(0, 1)),
        min_size=1,
        max_size=40,
    )
)
def test_what_is_written_is_read_back_exactly(tmp_path_factory, rows):
    rows = sorted(rows)
    folder = tmp_path_factory.mktemp("roundtrip")
    text = HEADER + "".join(f"{time!r},{i:X},{data.hex()},{label}\n" for time, i, data, label in rows)
    (folder / "x.csv").write_text(text)
    ingest_capture(folder / "x.csv", folder / "x.parquet")
    frames = read_frames(folder / "x.parquet")
    assert frames.timestamp.tolist() == [row[0] for row in rows]
    assert frames.arbitration_id.tolist() == [row[1] for row in rows]
    assert [bytes(data[:dlc]) for data, dlc in zip(frames.payload, frames.dlc, strict=True)] == [row[2] for row in rows]
    assert frames.label.tolist() == [row[3] for row in rows]
    assert not np.any(frames.payload[np.arange(8) >= frames.dlc[:, None]])


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("-kia", "unknown"),
        ("_data", "unknown"),
        ("", "unknown"),
        ("---", "unknown"),
        (" -kia", "unknown"),
        ("two words-kia", "two words"),
        ("[x]", "[x]"),
        ("Angriff_für_später", "Angriff_für_später"),
        ("DoS-kia", "DoS"),
        ("attack-free-kia", "none"),
        ("accessory-1", "none"),
        ("Attack_free_dataset", "none"),
        ("NORMAL", "none"),
        ("DoS_data", "DoS"),
        ("data_dump-1", "data_dump"),
        ("rpm-accessory-3", "rpm"),
        ("untargeted_payload_fuzzing-1", "untargeted_payload_fuzzing"),
        ("masquerade-untimed-4", "masquerade"),
        ("force-neutral-2", "force-neutral"),
        ("DoS_dataset", "DoS"),
        ("normal_run_data", "none"),
    ],
)
def test_the_attack_type_comes_from_the_captures_name(name, attack):
    assert attack_type(name) == attack

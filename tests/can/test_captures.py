"""Parquet captures that do not fit: each is an error that names file and field, and none reaches a compiled loop."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.frames import ARROW_SCHEMA, PAYLOAD_BYTES, padded_payload, read_frames
from kdgat_models.errors import CaptureError

N = 40


def healthy() -> pa.Table:
    """A capture with payloads of every length, some of CAN FD, and a remote frame, which carries none of its DLC."""
    dlc = [i % 9 for i in range(N)]
    dlc[26], dlc[35] = 64, 12
    payload = [bytes(range(1, size + 1)) for size in dlc]
    payload[8] = b""
    columns = [
        [i / 100 for i in range(N)],
        [0x7FF + i % 3 for i in range(N)],
        dlc,
        payload,
        [i % 2 for i in range(N)],
        [i % 3 > 0 or i % 9 == 3 for i in range(N)],
        [i == 8 for i in range(N)],
        [i % 9 == 8 for i in range(N)],
    ]
    return pa.table([pa.array(c, field.type) for c, field in zip(columns, ARROW_SCHEMA, strict=True)], ARROW_SCHEMA)


def with_column(table: pa.Table, field: str, values: list[object], type_: pa.DataType) -> pa.Table:
    return table.set_column(table.schema.names.index(field), field, pa.array(values, type_))


def with_value(field: str, row: int, value: object) -> pa.Table:
    values = healthy()[field].to_pylist()
    values[row] = value
    return with_column(healthy(), field, values, ARROW_SCHEMA.field(field).type)


def with_type(field: str, type_: pa.DataType) -> pa.Table:
    convert = str if type_ == pa.string() else lambda value: value
    return with_column(healthy(), field, [convert(x) for x in healthy()[field].to_pylist()], type_)


FIELDS = {
    "no DLC": (healthy().drop_columns(["dlc"]), "field dlc is there 0 times"),
    "no flag": (healthy().drop_columns(["is_extended_id"]), "field is_extended_id is there 0 times"),
    "renamed": (healthy().rename_columns(["t", *ARROW_SCHEMA.names[1:]]), "field timestamp is there 0 times"),
    "twice": (healthy().append_column("label", healthy()["label"]), "field label is there 2 times"),
    "float IDs": (with_type("arbitration_id", pa.float64()), "field arbitration_id is of type double; expected uint32"),
    "wide DLC": (with_type("dlc", pa.int64()), "field dlc is of type int64; expected uint8"),
    "text times": (with_type("timestamp", pa.string()), "field timestamp is of type string; expected double"),
    "large payloads": (with_type("payload", pa.large_binary()), "field payload is of type large_binary; expected binary"),
    "dictionary": (
        healthy().set_column(3, "payload", healthy()["payload"].dictionary_encode()),
        "field payload is of type dictionary",
    ),
    "lists": (
        with_column(healthy(), "payload", [[1]] * N, pa.list_(pa.uint8())),
        "field payload is of type list",
    ),
    "no frames": (healthy()[:0], "it has no frames"),
    "no remote frame": (
        with_value("is_remote_frame", 8, False),
        "field payload has 0 bytes in frame 8, but its DLC is 8",
    ),
}
VALUES = [
    ("payload", 17, b"123456789", "has 9 bytes in frame 17"),
    ("payload", 0, b"x" * 5_000_000, "has 5000000 bytes in frame 0"),
    ("payload", 17, b"1234", "has 4 bytes in frame 17, but its DLC is 8"),
    ("payload", 8, b"12", "has 2 bytes in frame 8, but its DLC is 8"),
    ("payload", 8, b"1", "has 1 bytes in frame 8, but its DLC is 8"),
    ("dlc", 3, 9, "is 9 in frame 3, which is not of CAN FD; expected 0 to 8"),
    ("dlc", 26, 65, "is 65 in frame 26; expected 0 to 64"),
    ("label", 39, 2, "is 2 in frame 39; expected 0 to 1"),
    ("arbitration_id", 5, 2**29, "is 536870912 in frame 5; expected 0 to 536870911"),
    ("timestamp", 2, np.nan, "is nan in frame 2"),
    ("timestamp", 2, np.inf, "is inf in frame 2"),
    ("timestamp", 0, -1.0, "is -1.0 in frame 0"),
    ("timestamp", 39, 1e39, r"is 1e\+39 in frame 39; expected 0 to 7258118400"),
    ("timestamp", 39, np.nextafter(MAX_TIMESTAMP, np.inf), "is 7258118400.0+1 in frame 39; expected 0 to 7258118400"),
    *((name, 7, None, "has 1 nulls") for name in ARROW_SCHEMA.names),
]
ALTERED = {
    **FIELDS,
    **{
        f"{field} {str(value)[:12]}": (with_value(field, row, value), f"field {field} {message}")
        for field, row, value, message in VALUES
    },
}


@pytest.mark.parametrize(("table", "message"), ALTERED.values(), ids=ALTERED.keys())
@pytest.mark.parametrize("row_group_size", [7, 1000])
def test_an_altered_capture_is_an_error_that_names_file_and_field(tmp_path, table, message, row_group_size):
    pq.write_table(table, tmp_path / "capture.parquet", row_group_size=row_group_size)
    with pytest.raises(CaptureError, match=rf"capture\.parquet is not a capture.*{message}.*ingest the recording again"):
        read_frames(tmp_path / "capture.parquet")


def test_a_capture_has_the_columns_that_are_documented():
    """Whoever reads the files with other tools relies on names and types, and that there are no nulls."""
    assert {field.name: str(field.type) for field in ARROW_SCHEMA} == {
        "timestamp": "double",
        "arbitration_id": "uint32",
        "dlc": "uint8",
        "payload": "binary",
        "label": "uint8",
        "is_extended_id": "bool",
        "is_remote_frame": "bool",
        "is_fd": "bool",
    }
    assert not any(field.nullable for field in ARROW_SCHEMA)


def test_a_capture_that_an_earlier_version_wrote_is_read_as_before(tmp_path):
    """It does not say which frames are of CAN FD: none is."""
    classic = healthy().filter(pc.less_equal(healthy()["dlc"], 8))
    pq.write_table(classic, tmp_path / "new.parquet")
    pq.write_table(classic.drop_columns(["is_fd"]), tmp_path / "old.parquet")
    for new, old in zip(read_frames(tmp_path / "new.parquet"), read_frames(tmp_path / "old.parquet"), strict=True):
        assert new.tolist() == old.tolist()
    pq.write_table(healthy().drop_columns(["is_fd"]), tmp_path / "old.parquet")
    with pytest.raises(CaptureError, match="field dlc is 64 in frame 26, which is not of CAN FD"):
        read_frames(tmp_path / "old.parquet")


@pytest.mark.parametrize("row_group_size", [1, 7, 1000])
def test_a_healthy_capture_is_read_whatever_its_row_groups(tmp_path, row_group_size):
    table = healthy().append_column("note", pa.array(["x"] * N))  # what is not asked for does no harm
    pq.write_table(table, tmp_path / "capture.parquet", row_group_size=row_group_size)
    frames = read_frames(tmp_path / "capture.parquet")
    assert frames.timestamp.tolist() == table["timestamp"].to_pylist()
    pairs = zip(table["arbitration_id"].to_pylist(), table["is_extended_id"].to_pylist(), strict=True)
    assert frames.arbitration_id.tolist() == [i | 0x8000_0000 if extended and i < 0x800 else i for i, extended in pairs]
    assert 0x8000_07FF in frames.arbitration_id
    assert 0x7FF in frames.arbitration_id
    assert [bytes(row) for row in frames.payload] == [p[:8].ljust(PAYLOAD_BYTES, b"\0") for p in table["payload"].to_pylist()]
    assert [column.dtype for column in frames] == [np.float64, np.uint32, np.uint8, np.uint8, np.uint8]


def with_offsets(*offsets: int) -> pa.Array:
    """Payloads that begin and end in eight bytes where `offsets` say; pyarrow looks at the first and the last alone."""
    buffers = [None, pa.py_buffer(np.array(offsets, np.int32)), pa.py_buffer(b"12345678")]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def test_payloads_of_a_slice_are_its_own():
    whole = pa.array([b"12345678", b"", b"\1\2", b"abc"], pa.binary())
    assert padded_payload(whole[1:3]).tolist() == [[0] * 8, [1, 2, 0, 0, 0, 0, 0, 0]]
    assert padded_payload(whole[2:2]).shape == (0, PAYLOAD_BYTES)
    assert padded_payload(pa.array([], pa.binary())).shape == (0, PAYLOAD_BYTES)
    assert padded_payload(pa.array([b"", b""], pa.binary())).tolist() == [[0] * 8] * 2
    assert padded_payload(with_offsets(2, 2, 8)).tolist() == [[0] * 8, [*b"345678", 0, 0]]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (pa.array([b"1", b"x" * 65], pa.binary()), "65 bytes in frame 1"),
        (pa.array([b"1"], pa.large_binary()), "large_binary"),
        (pa.array([b"1", None], pa.binary()), "1 nulls"),
        (with_offsets(0, 8, 4), "8 bytes"),
        (with_offsets(0, -1, 7)[1:], "8 bytes in frame 0"),
        (with_offsets(0, 3, 9, 8)[:2], "6 bytes in frame 1"),
    ],
)
def test_the_compiled_loop_is_never_given_payloads_that_it_would_stray_from(payload, message):
    with pytest.raises(CaptureError, match=rf"field payload .*{message}"):
        padded_payload(payload)


def test_a_file_that_is_no_parquet_or_torn_or_absent_is_an_error(tmp_path):
    path = tmp_path / "capture.parquet"
    with pytest.raises(CaptureError, match=r"capture\.parquet is not a capture"):
        read_frames(path)
    with pytest.raises(CaptureError, match="is not a capture"):
        read_frames(tmp_path)
    pq.write_table(healthy(), path)
    content = path.read_bytes()
    for size in (0, 3, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(CaptureError, match=r"capture\.parquet is not a capture"):
            read_frames(path)
    path.write_text("timestamp,arbitration_id,data_field,attack\n")
    with pytest.raises(CaptureError, match=r"capture\.parquet is not a capture"):
        read_frames(path)

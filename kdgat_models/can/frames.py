"""Frames: the one form that all captures take, on disk and in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdgat_models.can.clock import MAX_TIMESTAMP
from kdgat_models.can.naming import EXTENDED
from kdgat_models.errors import CaptureError

PAYLOAD_BYTES = 8  # classical CAN; of a CAN FD frame, models see the first so many
FD_BYTES = 64
MAX_STANDARD_ID = 0x7FF  # 11 bits
MAX_EXTENDED_ID = 0x1FFF_FFFF  # 29 bits

# One Parquet file per capture. Names of the flags are python-can's.
ARROW_SCHEMA = pa.schema(
    [
        pa.field("timestamp", pa.float64(), nullable=False),  # s
        pa.field("arbitration_id", pa.uint32(), nullable=False),
        pa.field("dlc", pa.uint8(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("label", pa.uint8(), nullable=False),  # 1: the frame belongs to an attack
        pa.field("is_extended_id", pa.bool_(), nullable=False),
        pa.field("is_remote_frame", pa.bool_(), nullable=False),
        pa.field("is_fd", pa.bool_(), nullable=False),
    ]
)
IS_FD = "is_fd"  # captures of earlier versions do not have it: none of their frames is of CAN FD
# Least and highest value of the columns that are numbers.
BOUNDS = {
    "timestamp": (0.0, MAX_TIMESTAMP),
    "arbitration_id": (0, MAX_EXTENDED_ID),
    "dlc": (0, FD_BYTES),
    "label": (0, 1),
}


class Frames(NamedTuple):
    """A capture, or a part of one, as arrays over its n frames in the order on the bus."""

    timestamp: NDArray[np.float64]  # [n], s
    arbitration_id: NDArray[np.uint32]  # [n]
    dlc: NDArray[np.uint8]  # [n], number of payload bytes
    payload: NDArray[np.uint8]  # [n, 8], bytes beyond the DLC are zero; of a CAN FD frame the first 8
    label: NDArray[np.uint8]  # [n]

    @property
    def size(self) -> int:
        """Number of frames."""
        return len(self.timestamp)

    def rows(self, rows: slice) -> "Frames":
        """Some of the frames, as a view of the same arrays."""
        return Frames._make(column[rows] for column in self)


def joined(parts: Sequence[Frames]) -> Frames:
    """Frames of one capture that follow each other, as one."""
    return Frames._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def read_frames(path: Path) -> Frames:
    """Read a Parquet capture that ingest wrote.

    Raises:
        CaptureError: the file is missing or torn, or what it holds is no capture; names file and field.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            _check_fields(file.schema_arrow)
            return _frames(file.read())
    except (pa.ArrowException, OSError, ValueError, CaptureError) as error:  # ValueError: names of columns that are no UTF-8
        raise CaptureError(
            f"{path} is not a capture as ingest writes it: {error}. Remove it and ingest the recording again"
        ) from error


def padded_payload(payload: pa.Array) -> NDArray[np.uint8]:
    """Binary array of n payloads -> their first 8 bytes [n, 8], zero beyond each payload's end.

    Raises:
        CaptureError: another type, a null, or a payload of more than 64 bytes.
    """
    if payload.type != pa.binary() or payload.null_count:
        raise CaptureError(f"field payload is {payload.type} with {payload.null_count} nulls; expected binary without nulls")
    if not len(payload):
        return np.zeros((0, PAYLOAD_BYTES), np.uint8)
    _, offsets, data = payload.buffers()
    starts = np.frombuffer(offsets, np.int32)[payload.offset : payload.offset + len(payload) + 1]
    values = np.frombuffer(data, np.uint8)
    sizes = np.diff(starts)
    if sizes.max() > FD_BYTES or sizes.min() < 0 or starts[0] < 0 or starts[-1] > len(values):  # else `_pad` strays
        row = int(sizes.argmax())
        raise CaptureError(f"field payload has {sizes[row]} bytes in frame {row}; expected at most {FD_BYTES}")
    return _pad(starts, values)


@numba.njit(cache=True, nogil=True)
def _pad(offsets: NDArray[np.int32], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    padded = np.zeros((len(offsets) - 1, PAYLOAD_BYTES), np.uint8)
    for row in range(len(padded)):
        for column in range(min(offsets[row + 1] - offsets[row], PAYLOAD_BYTES)):
            padded[row, column] = values[offsets[row] + column]
    return padded


def _check_fields(schema: pa.Schema) -> None:
    for field in ARROW_SCHEMA:
        found = schema.get_all_field_indices(field.name)
        if field.name == IS_FD and not found:
            continue
        if len(found) != 1:
            raise CaptureError(f"field {field.name} is there {len(found)} times; its fields are {', '.join(schema.names)}")
        if schema.types[found[0]] != field.type:
            raise CaptureError(f"field {field.name} is of type {schema.types[found[0]]}; expected {field.type}")


def _frames(table: pa.Table) -> Frames:
    if not table.num_rows:
        raise CaptureError("it has no frames")
    for name in (name for name in ARROW_SCHEMA.names if name in table.column_names):
        if table[name].null_count:
            raise CaptureError(f"field {name} has {table[name].null_count} nulls")
    columns = {name: table[name].to_numpy() for name in BOUNDS}
    for name, (low, high) in BOUNDS.items():
        _check_bounds(name, columns[name], low, high)
    _check_sizes(table, columns["dlc"])
    payload = np.concatenate([padded_payload(chunk) for chunk in table["payload"].chunks])
    identifiers = told_apart(columns["arbitration_id"], table["is_extended_id"].to_numpy())
    return Frames(columns["timestamp"], identifiers, columns["dlc"], payload, columns["label"])


def told_apart(identifiers: NDArray[np.uint32], extended: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Arbitration IDs [n] in which a 29-bit ID is never the same as an 11-bit one of the same number."""
    return np.where(extended & (identifiers <= MAX_STANDARD_ID), identifiers | np.uint32(EXTENDED), identifiers)


def _check_bounds(name: str, values: NDArray[Any], low: float, high: float) -> None:
    if values.min() >= low and values.max() <= high:  # false for NaN
        return
    row = int(np.argmin((values >= low) & (values <= high)))
    raise CaptureError(f"field {name} is {values[row]} in frame {row}; expected {low:.0f} to {high:.0f}")


def _check_sizes(table: pa.Table, dlc: NDArray[np.uint8]) -> None:
    """A payload is as long as the DLC says; a remote frame announces a DLC and carries none. Only CAN FD has over 8."""
    if dlc.max() > PAYLOAD_BYTES:
        fd = table[IS_FD].to_numpy() if IS_FD in table.column_names else np.zeros(len(dlc), bool)
        if ((dlc > PAYLOAD_BYTES) & ~fd).any():
            row = int(((dlc > PAYLOAD_BYTES) & ~fd).argmax())
            raise CaptureError(f"field dlc is {dlc[row]} in frame {row}, which is not of CAN FD; expected 0 to {PAYLOAD_BYTES}")
    sizes = pc.binary_length(table["payload"]).to_numpy()  # type: ignore[attr-defined]  # made at import
    wrong = sizes != dlc
    if not wrong.any():
        return
    wrong &= (sizes > 0) | ~table["is_remote_frame"].to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise CaptureError(f"field payload has {sizes[row]} bytes in frame {row}, but its DLC is {dlc[row]}")

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

PAYLOAD_BYTES = 8  # of a classic frame, and of any frame in memory
FD_PAYLOAD_BYTES = 64
FD_SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # of payloads of CAN FD
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
        pa.field("is_fd", pa.bool_(), nullable=False),  # of CAN FD: up to 64 bytes of payload; absent in older files
    ]
)
LATER = ("is_fd",)  # fields that older files have not
# Least and highest value of the columns that are numbers.
BOUNDS = {
    "timestamp": (0.0, MAX_TIMESTAMP),
    "arbitration_id": (0, MAX_EXTENDED_ID),
    "dlc": (0, FD_PAYLOAD_BYTES),
    "label": (0, 1),
}


class Frames(NamedTuple):
    """A capture, or a part of one, as arrays over its n frames in the order on the bus."""

    timestamp: NDArray[np.float64]  # [n], s
    arbitration_id: NDArray[np.uint32]  # [n]; with the bit `EXTENDED` if it has 29 bits and a number of 11
    dlc: NDArray[np.uint8]  # [n], bytes of the payload on the bus: 0 to 8, of CAN FD to 64
    payload: NDArray[np.uint8]  # [n, 8], the first eight bytes; those beyond the DLC are zero
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


def frames_of(table: pa.Table) -> Frames:
    """A table with the fields of `ARROW_SCHEMA` -> its frames; values are not checked."""
    identifier = told_apart(table["arbitration_id"].to_numpy(), table["is_extended_id"].to_numpy())
    chunks = [padded_payload(chunk.cast(pa.binary())) for chunk in table["payload"].chunks]
    payload = np.concatenate(chunks) if chunks else np.zeros((0, PAYLOAD_BYTES), np.uint8)
    return Frames(table["timestamp"].to_numpy(), identifier, table["dlc"].to_numpy(), payload, table["label"].to_numpy())


def told_apart(number: NDArray[np.uint32], is_extended: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Numbers of arbitration IDs [n] -> the IDs: one of 29 bits is another than that of 11 bits with the same number."""
    hidden = is_extended & (number <= MAX_STANDARD_ID)
    return np.where(hidden, number | np.uint32(EXTENDED), number) if hidden.any() else number


def padded_payload(payload: pa.Array) -> NDArray[np.uint8]:
    """Binary array of n payloads -> the first 8 bytes of each [n, 8], zero beyond its end.

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
    if sizes.max() > FD_PAYLOAD_BYTES or sizes.min() < 0 or starts[0] < 0 or starts[-1] > len(values):  # else `_pad` strays
        row = int(sizes.argmax())
        raise CaptureError(f"field payload has {sizes[row]} bytes in frame {row}; expected at most {FD_PAYLOAD_BYTES}")
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
        if not found and field.name in LATER:
            continue
        if len(found) != 1:
            raise CaptureError(f"field {field.name} is there {len(found)} times; its fields are {', '.join(schema.names)}")
        if schema.types[found[0]] != field.type:
            raise CaptureError(f"field {field.name} is of type {schema.types[found[0]]}; expected {field.type}")


def _frames(table: pa.Table) -> Frames:
    if not table.num_rows:
        raise CaptureError("it has no frames")
    for name in set(ARROW_SCHEMA.names) & set(table.column_names):
        if table[name].null_count:
            raise CaptureError(f"field {name} has {table[name].null_count} nulls")
    for name, (low, high) in BOUNDS.items():
        _check_bounds(name, table[name].to_numpy(), low, high)
    _check_sizes(table)
    return frames_of(table)


def _check_bounds(name: str, values: NDArray[Any], low: float, high: float) -> None:
    if values.min() >= low and values.max() <= high:  # false for NaN
        return
    row = int(np.argmin((values >= low) & (values <= high)))
    raise CaptureError(f"field {name} is {values[row]} in frame {row}; expected {low:.0f} to {high:.0f}")


def _check_sizes(table: pa.Table) -> None:
    """A payload is as long as the DLC says, and longer than 8 bytes only in CAN FD; a remote frame carries none of its DLC."""
    dlc = table["dlc"].to_numpy()
    long = dlc > PAYLOAD_BYTES
    if long.any():
        long &= ~table["is_fd"].to_numpy() if "is_fd" in table.column_names else True
        if long.any():
            row = int(long.argmax())
            raise CaptureError(f"field dlc is {dlc[row]} in frame {row}, which is not of CAN FD; expected 0 to {PAYLOAD_BYTES}")
    sizes = pc.binary_length(table["payload"]).to_numpy()  # type: ignore[attr-defined]  # made at import
    wrong = sizes != dlc
    if not wrong.any():
        return
    wrong &= (sizes > 0) | ~table["is_remote_frame"].to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise CaptureError(f"field payload has {sizes[row]} bytes in frame {row}, but its DLC is {dlc[row]}")

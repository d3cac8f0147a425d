"""Frames: the one form that all captures take, on disk and in memory."""

from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

PAYLOAD_BYTES = 8  # classical CAN
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
    ]
)


class Frames(NamedTuple):
    """A capture, or a part of one, as arrays over its n frames in the order on the bus."""

    timestamp: NDArray[np.float64]  # [n], s
    arbitration_id: NDArray[np.uint32]  # [n]
    dlc: NDArray[np.uint8]  # [n]
    payload: NDArray[np.uint8]  # [n, 8], bytes beyond the DLC are zero
    label: NDArray[np.uint8]  # [n]

    @property
    def size(self) -> int:
        return len(self.timestamp)


def read_frames(path: Path) -> Frames:
    """Read a Parquet capture that ingest wrote."""
    table = pq.read_table(path, columns=["timestamp", "arbitration_id", "dlc", "payload", "label"], memory_map=True)
    table = table.combine_chunks()
    payload = table["payload"].combine_chunks()
    if isinstance(payload, pa.ChunkedArray):  # an empty table keeps no chunk to combine
        payload = pa.concat_arrays(payload.chunks) if payload.num_chunks else pa.array([], pa.binary())
    return Frames(
        table["timestamp"].to_numpy(),
        table["arbitration_id"].to_numpy(),
        table["dlc"].to_numpy(),
        padded_payload(payload),
        table["label"].to_numpy(),
    )


def padded_payload(payload: pa.Array) -> NDArray[np.uint8]:
    """Binary array of n payloads -> [n, 8] bytes, zero beyond each payload's end."""
    _, offsets, data = payload.buffers()
    starts = np.frombuffer(offsets, np.int32)[payload.offset : payload.offset + len(payload) + 1]
    values = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return _pad(starts, values)


@numba.njit(cache=True, nogil=True)
def _pad(offsets: NDArray[np.int32], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    padded = np.zeros((max(len(offsets) - 1, 0), PAYLOAD_BYTES), np.uint8)
    for row in range(len(padded)):
        for column in range(offsets[row + 1] - offsets[row]):
            padded[row, column] = values[offsets[row] + column]
    return padded

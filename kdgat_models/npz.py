"""Arrays by name in one file, of NumPy's own format, without pickles."""

import math
import zipfile
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kdgat_models.errors import CheckpointError
from kdgat_models.files import atomic_path


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays by name, atomically, in C order however they lie in memory."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        _save(file, arrays)


def npz_bytes(**arrays: NDArray[Any]) -> bytes:
    """What `write_npz` would write."""
    file = BytesIO()
    _save(file, arrays)
    return file.getvalue()


def _save(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    np.savez(file, allow_pickle=False, **{name: np.asarray(array, order="C") for name, array in arrays.items()})


class Arrays(dict[str, NDArray[Any]]):
    """Arrays by name, read from `path`."""

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        super().__init__(arrays)
        self.path = path

    def __missing__(self, name: str) -> NDArray[Any]:
        raise CheckpointError(f"{self.path} has no array {name!r}; it has: {', '.join(self)}")


def read_npz(path: Path) -> Arrays:
    """The arrays that `write_npz` wrote; no more memory is taken than the file has bytes.

    Raises:
        CheckpointError: the file is missing, torn or altered.
    """
    try:
        with path.open("rb") as file:
            return arrays_of(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} holds no arrays as they are written here: {error}") from error


def arrays_of(path: Path, file: BinaryIO) -> Arrays:
    """The arrays in an open file that comes from `path`; raises as `read_npz`."""
    try:
        size = file.seek(0, SEEK_END)
        with zipfile.ZipFile(file) as archive:
            found = {info.filename.removesuffix(".npy"): _array(archive, info, size) for info in archive.infolist()}
    except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, OverflowError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} holds no arrays as they are written here: {error}") from error
    return Arrays(path, found)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
        raise ValueError(f"{info.filename} claims {info.file_size} bytes")
    file = BytesIO(archive.read(info))
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"{info.filename} is of another format")
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    content = file.read()
    if dtype.hasobject or fortran or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{info.filename} has {len(content)} bytes for {shape} values of type {dtype}")
    return np.frombuffer(content, dtype).reshape(shape)

"""Arrays in files: what is written is read again, and what was not written here is refused."""

import io
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from kdgat_models.errors import CheckpointError
from kdgat_models.npz import read_npz, write_npz

ARRAYS = {
    "numbers": np.arange(3),
    "floats": np.linspace(0, 1, 6).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10)[::3],
    "empty": np.zeros((0, 3), np.float32),
    "one": np.array(2.5),
    "flags": np.array([True, False]),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.arange(4, dtype=np.uint8),
}


def test_arrays_of_all_kinds_are_read_as_they_were_written_in_whatever_order_they_lie(tmp_path):
    write_npz(tmp_path / "a.npz", **ARRAYS)
    stored = read_npz(tmp_path / "a.npz")
    assert list(stored) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (stored[name].dtype, stored[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(stored[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_an_array_that_is_not_there_is_named_with_those_that_are(tmp_path):
    write_npz(tmp_path / "a.npz", first=np.arange(3), second=np.arange(2))
    with pytest.raises(CheckpointError) as caught:
        read_npz(tmp_path / "a.npz")["third"]
    assert str(caught.value) == f"{tmp_path / 'a.npz'} has no array 'third'; it has: first, second"


def test_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_npz(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    assert list(tmp_path.iterdir()) == []


def content(array=None, version=(1, 0), header=None, data=b""):
    """An array as NumPy would write it, or another header with data behind it."""
    file = io.BytesIO()
    if header is None:
        npy.write_array(file, array, version, allow_pickle=True)
    else:
        npy.write_array_header_1_0(file, header)
    return file.getvalue() + data


def header(shape=(2,), descr="<i4", fortran_order=False):
    return {"shape": shape, "fortran_order": fortran_order, "descr": descr}


FLOATS = np.arange(6.0).reshape(2, 3)
FOREIGN = {
    "of another version": (content(FLOATS, (2, 0)), "a.npy is of another format"),
    "in the order of Fortran": (content(FLOATS.T), r"a.npy has 48 bytes for \(3, 2\) values of type float64"),
    "of objects": (content(np.array([None])), r"a.npy has \d+ bytes for \(1,\) values of type object"),
    "too short": (content(header=header(), data=b"1234567"), r"a.npy has 7 bytes for \(2,\) values of type int32"),
    "too long": (content(header=header(), data=b"123456789"), r"a.npy has 9 bytes for \(2,\) values of type int32"),
    "of a huge claim": (content(header=header((2**40, 2**40)), data=b"12345678"), "a.npy has 8 bytes for"),
    "no array": (b"text", "holds no arrays as they are written here"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_array_that_was_not_written_here_is_refused(tmp_path, kind):
    data, message = FOREIGN[kind]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_npz(tmp_path / "x.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'x.npz'} holds no arrays as they are written here: ")


def test_an_array_by_hand_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content(header=header(), data=b"\1\0\0\0\2\0\0\0"))
    assert read_npz(tmp_path / "x.npz")["a"].tolist() == [1, 2]


def test_what_is_packed_is_refused_before_it_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1 << 20))
    with pytest.raises(CheckpointError, match=r"a.npy claims 83887\d\d bytes"):
        read_npz(tmp_path / "x.npz")


def test_an_array_that_claims_more_than_the_file_has_is_refused(tmp_path):
    write_npz(tmp_path / "x.npz", a=np.arange(100, dtype=np.uint8))
    size = (228).to_bytes(4, "little")  # of the array with its header
    whole = (tmp_path / "x.npz").read_bytes()
    assert whole.count(size) >= 2
    (tmp_path / "x.npz").write_bytes(whole.replace(size, (len(whole) + 1).to_bytes(4, "little")))
    with pytest.raises(CheckpointError, match=f"a.npy claims {len(whole) + 1} bytes"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"x\.npz holds no arrays"):
        read_npz(tmp_path / "x.npz")
    with pytest.raises(CheckpointError, match=r"y\.npz holds no arrays"):
        read_npz(tmp_path / "y.npz")

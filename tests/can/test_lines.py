"""Lines of a file: their numbers, which of them is torn, how many come at once, and what is no text of a capture."""

import gzip

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat_models.can import lines
from kdgat_models.can.lines import BLANK, MAX_LINE_BYTES, read_lines
from kdgat_models.errors import CaptureError


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab\n\n\n\n \t\r\x00"), max_size=60), st.integers(1, 70), st.integers(1, 6))
def test_parts_are_small_and_only_what_ends_within_a_line_is_torn(tmp_path_factory, text, block_bytes, most):
    path = tmp_path_factory.getbasetemp() / "parts.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINES", most)
        parts = list(read_lines(path, block_bytes))
    expected = text.split("\n")
    while expected and not expected[-1].strip(BLANK):
        expected.pop()
    found = [line for part in parts for line in part.text.to_list()]
    assert [line.strip(BLANK) and line for line in found] == [line.strip(BLANK) and line for line in expected]
    assert [part.first for part in parts] == [1, *(part.last + 1 for part in parts[:-1])][: len(parts)]
    assert all(1 <= len(part.text) <= most for part in parts)
    after = text[len(text.rstrip(BLANK)) :]
    assert [part.torn for part in parts] == [False] * (len(parts) - 1) + ["\n" not in after] * bool(parts)


def lines_of(path, block_bytes=2**20):
    return [line for part in read_lines(path, block_bytes) for line in part.text.to_list()]


@pytest.mark.parametrize("block_bytes", [2**20, 2**24])
@pytest.mark.parametrize("before", ["", "x\n"])
def test_a_line_may_have_as_many_bytes_as_stated_and_not_one_more(tmp_path, before, block_bytes):
    path = tmp_path / "x.csv"
    path.write_text(before + "y" * MAX_LINE_BYTES + "\n")
    assert [len(line) for line in lines_of(path, block_bytes)][-1] == MAX_LINE_BYTES == 16 * 1024 * 1024
    path.write_text(before + "y" * (MAX_LINE_BYTES + 1) + "\nx\n")
    with pytest.raises(CaptureError, match=r"x\.csv is not a capture: it has a line of more than 16777216 bytes"):
        lines_of(path, block_bytes)


@pytest.mark.parametrize("suffix", [".csv", ".gz", ".GZ", ".zst", ".Zst"])
def test_the_suffix_tells_the_compression_whatever_its_case(tmp_path, suffix):
    content = b"\xef\xbb\xbfa,b\n\nc"
    codec = {".gz": gzip.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
    (tmp_path / f"x{suffix}").write_bytes(codec.get(suffix.lower(), bytes)(content))
    assert lines_of(tmp_path / f"x{suffix}") == ["a,b", "", "c"]


def test_only_a_mark_of_byte_order_at_the_begin_is_left_out_and_what_is_not_ascii_is_escaped(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf\xef\xbb\xbfa\n\xef\xbb\xbf\xe9\r\x0bb\r\nc\x85d\x1c\n")
    mark = "\\xef\\xbb\\xbf"
    for block_bytes in (100, 7):
        assert lines_of(tmp_path / "x.csv", block_bytes) == [f"{mark}a", f"{mark}\\xe9\r\x0bb\r", "c\\x85d\x1c"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x.csv.gz").write_text("a\n" * 100)
    for name in ("x.csv.gz", "absent.csv", "."):
        with pytest.raises(CaptureError, match=rf"{name}.* cannot be read to its end: .*Is it torn, or not compressed"):
            lines_of(tmp_path / name)

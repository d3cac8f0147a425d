"""One file that holds several is read whole, or refused with a reason."""

import json
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat_models.archive import CONTENTS, Kind, read_archive, write_archive
from kdgat_models.errors import ArchiveError

THING = Kind("thing", 2, "Make one")
MEMBERS = {"a.json": b"{}", "b/c.bin": bytes(range(256)) * 20}


@pytest.fixture
def file(tmp_path):
    return write_archive(tmp_path / "one.thing", THING, MEMBERS)


def rewritten(file, change):
    """The archive with other members: `change` gets them by name."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)
    return file


def contents(given, **more):
    return {**given, CONTENTS: json.dumps({**json.loads(given[CONTENTS]), **more}).encode()}


def test_members_come_back_as_they_were(file):
    assert read_archive(file, THING) == MEMBERS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: {**m, "a.json": b"[]"}, "altered or torn: a.json"),
        (lambda m: {**m, "more.txt": b""}, "'more.txt' is not listed"),
        (lambda m: {name: m[name] for name in m if name != "a.json"}, "'a.json' is missing"),
        (lambda m: {name: m[name] for name in m if name != CONTENTS}, "it has no contents.json"),
        (lambda m: contents(m, format=3), "of format 3; this version reads up to 2. Install a newer"),
        (lambda m: contents(m, kind="other"), "is a other, not a thing"),
        (lambda m: contents(m, members=7), "was altered: contents.json: members"),
        (lambda m: {**m, CONTENTS: b"{"}, "was altered: contents.json"),
        (lambda m: {**m, CONTENTS: b" " * 2**21}, "its contents.json has 2097152 bytes"),
    ],
)
def test_what_was_altered_is_refused_with_the_reason(file, change, reason):
    with pytest.raises(ArchiveError, match=reason):
        read_archive(rewritten(file, change), THING)


def test_a_missing_file_a_folder_and_another_kind_of_file_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "text").write_text("not a zip")
    for path in (tmp_path / "none", tmp_path, tmp_path / "text"):
        with pytest.raises(ArchiveError, match="Make one"):
            read_archive(path, THING)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_byte_that_is_changed_and_no_end_that_is_torn_off_goes_unnoticed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("torn")
    whole = write_archive(folder / "one.thing", THING, MEMBERS).read_bytes()
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    (folder / "torn").write_bytes(changed if data.draw(st.booleans()) else whole[:place])
    with suppress(ArchiveError):
        assert read_archive(folder / "torn", THING) == MEMBERS  # a date or a flag that nobody reads

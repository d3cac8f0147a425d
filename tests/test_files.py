import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from kdgat_models import files
from kdgat_models.errors import CheckpointError
from kdgat_models.files import atomic_path, read_json, read_record, write_json, write_text
from kdgat_models.npz import read_npz, write_npz


class Killed(Exception):
    pass


def test_an_error_in_the_middle_of_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})

    def half():
        with atomic_path(file) as temporary:
            temporary.write_text('{"new"')
            raise Killed

    with pytest.raises(Killed):
        half()
    assert json.loads(file.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_kill_between_writing_and_renaming_leaves_the_old_file(tmp_path, monkeypatch, call):
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})

    def killed(*args):
        raise Killed

    monkeypatch.setattr(files.os, call, killed)
    with pytest.raises(Killed):
        write_json(file, {"new": 2})
    assert json.loads(file.read_text()) == {"old": 1}


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace

    def noted_sync(handle):
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        sync(handle)

    def noted_replace(source, target):
        done.append("renamed")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", noted_sync)
    monkeypatch.setattr(files.os, "replace", noted_replace)
    write_text(tmp_path / "a.txt", "text")
    assert done[0].name.startswith(".a.txt.")
    assert done[1:] == ["renamed", tmp_path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_arrays_are_written_under_their_names(tmp_path):
    write_npz(tmp_path / "a.npz", first=np.arange(3), second=np.ones((2, 2)))
    stored = read_npz(tmp_path / "a.npz")
    assert stored["first"].tolist() == [0, 1, 2]
    assert stored["second"].tolist() == [[1, 1], [1, 1]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


class Numbers(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int
    share: float
    names: tuple[str, ...]


GOOD = {"count": 1, "share": 0.5, "names": ["a"]}


def test_a_record_is_read_with_its_types(tmp_path):
    write_json(tmp_path / "a.json", GOOD)
    assert read_record(tmp_path / "a.json", Numbers) == Numbers(count=1, share=0.5, names=("a",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**GOOD, "count": "1"}, "count: Input should be a valid integer"),
        ({**GOOD, "count": True}, "count"),
        ({**GOOD, "count": 1.5}, "count"),
        ({**GOOD, "names": "a"}, "names"),
        ({**GOOD, "names": ["a", 2]}, r"names\.1"),
        ({**GOOD, "other": 2}, "other: Extra inputs"),
        ({"count": 1}, "share: Field required; names: Field required"),
        ([GOOD], "content"),
        (None, "content"),
    ],
)
def test_a_record_that_does_not_fit_is_an_error_that_names_file_and_field(tmp_path, content, message):
    write_json(tmp_path / "a.json", content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_record(tmp_path / "a.json", Numbers)
    assert str(tmp_path / "a.json") in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"1" * 30 + b"}",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_of_ours_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.json cannot be read"):
        read_json(tmp_path / "a.json")


def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(CheckpointError, match="more than"):
        read_json(tmp_path / "a.json")


def test_a_folder_or_nothing_in_place_of_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name in ("folder.json", "nothing.json"):
        with pytest.raises(CheckpointError, match=name):
            read_json(tmp_path / name)

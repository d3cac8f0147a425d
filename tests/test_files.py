import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from kdgat_models import files
from kdgat_models.errors import CheckpointError
from kdgat_models.files import (
    WRONG_FIELDS,
    atomic_path,
    digest_files,
    digest_json,
    hold,
    is_left,
    is_temporary,
    read_json,
    read_record,
    remove_if_left,
    write_json,
    write_text,
)


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


def test_json_is_written_to_be_read_by_people_and_without_numbers_that_json_does_not_have(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1]})
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "\\u00e9": [\n    1\n  ]\n}\n'
    write_text(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "b.json", [number])
        with pytest.raises(ValueError, match="JSON"):
            digest_json([number])
    assert not (tmp_path / "b.json").exists()


def test_folders_are_made_and_no_descriptor_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for name in ("a/b/c.txt", "a/b/c.txt", "a/d.txt"):
        write_text(tmp_path / name, name)
    with pytest.raises(Killed), atomic_path(tmp_path / "e.txt"):
        raise Killed
    assert len(os.listdir("/proc/self/fd")) == before
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["c.txt", "d.txt"]


def test_a_temporary_file_is_held_while_it_is_written_and_told_by_its_name(tmp_path):
    with atomic_path(tmp_path / "a.json") as temporary:
        assert temporary.parent == tmp_path
        assert is_temporary(temporary)
        assert not is_left(temporary)
        assert not remove_if_left(temporary)
        assert temporary.read_bytes() == b""
    assert (tmp_path / "a.json").exists()
    assert is_left(tmp_path / "a.json")  # nobody holds it any more


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".a.json.0a1b2c3d", True),
        (".a.0a1b_xyz", True),
        (".a.b.c.abcdefgh", True),
        ("a.json", False),
        ("a.json.0a1b2c3d", False),
        (".a.json", False),
        (".a.json.0a1b2c3", False),
        (".a.json.0a1b2c3d4", False),
        (".a.json.0A1B2C3D", False),
        (".a.0a1b2c3d.json", False),
        ("..0a1b2c3d", False),
    ],
)
def test_names_of_temporary_files(name, expected):
    assert is_temporary(Path("/x") / name) == expected


def test_what_nobody_holds_is_removed_once(tmp_path):
    file = tmp_path / "left"
    assert not is_left(file)
    assert not remove_if_left(file)
    file.write_text("x")
    assert is_left(file)
    assert file.read_text() == "x"
    assert remove_if_left(file)
    assert not file.exists()


def test_a_file_that_was_removed_before_it_was_held_is_made_again(tmp_path, monkeypatch):
    descriptor = os.open(tmp_path / "a", os.O_CREAT | os.O_WRONLY)
    assert hold(descriptor)
    (tmp_path / "a").unlink()
    assert not hold(descriptor)
    os.close(descriptor)
    open_now, held = len(os.listdir("/proc/self/fd")), iter([False, True])
    monkeypatch.setattr(files, "hold", lambda descriptor: next(held))
    write_text(tmp_path / "b", "text")
    assert (tmp_path / "b").read_text() == "text"
    assert len(os.listdir("/proc/self/fd")) == open_now


def test_a_name_that_is_taken_is_left_alone(tmp_path, monkeypatch):
    taken = tmp_path / ".a.txt.00000000"
    taken.write_text("somebody's")
    tokens = iter(["00000000", "11111111"])
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: next(tokens))
    write_text(tmp_path / "a.txt", "text")
    assert (taken.read_text(), (tmp_path / "a.txt").read_text()) == ("somebody's", "text")


@pytest.mark.parametrize(("more", "said"), [(-1, ""), (0, ""), (1, "; and 1 more"), (3, "; and 3 more")])
def test_a_few_wrong_fields_are_named_and_the_rest_is_counted(tmp_path, more, said):
    count = WRONG_FIELDS + more
    write_json(tmp_path / "a.json", {**GOOD, **{f"x{number}": 1 for number in range(count)}})
    with pytest.raises(CheckpointError) as caught:
        read_record(tmp_path / "a.json", Numbers)
    named = [f"x{number}: Extra inputs are not permitted" for number in range(min(count, 5))]
    assert str(caught.value) == f"{tmp_path / 'a.json'} does not fit its schema: {'; '.join(named)}{said}"


def test_a_digest_of_files_is_of_their_names_and_contents_and_order(tmp_path):
    def digest(**contents):
        for name, content in contents.items():
            (tmp_path / name).write_text(content)
        return digest_files([tmp_path / name for name in contents])

    first = digest(a="x", b="y")
    assert len(first) == 32
    assert digest(a="x", b="y") == first
    others = [digest(a="y", b="x"), digest(b="y", a="x"), digest(a="x"), digest(a="x", c="y"), digest(a="xy", b="")]
    assert len({first, *others}) == 6
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "a").write_text("x")
    assert digest_files([tmp_path / "moved" / "a"]) == digest(a="x")


def test_a_digest_of_a_value_is_that_of_its_canonical_json():
    text = b'{"a":[1,2.5,null],"b":{"c":"d","e":true}}'
    value = {"b": {"e": True, "c": "d"}, "a": [1, 2.5, None]}
    assert digest_json(value) == hashlib.blake2b(text, digest_size=16).hexdigest()

import json
import os
import shutil

import numpy as np
import pytest
from conftest import tiny

from config.paths import COMPLETE, DAMAGED
from kdgat_models.errors import CaptureError, CheckpointError
from tasks.artifact import Artifact, read_artifact
from tasks.raw import raw_artifact
from tasks.seals import BLOCK, SEAL, SMALL_BYTES, damages, renew, sampled_places, seal
from tasks.stages.ingest import ingest

LARGE = 3 * SMALL_BYTES


@pytest.fixture
def artifact(tmp_path):
    """A published artifact with a small file, one in a folder, tensors, and one that is too large to be compared whole."""
    folder = tmp_path / "graphs" / "run-0123456789"
    (folder / "train").mkdir(parents=True)
    (folder / "note.txt").write_text("small")
    (folder / "train" / "x.bin").write_bytes(np.random.default_rng(0).bytes(LARGE))
    (folder / "model.safetensors").write_bytes(np.random.default_rng(1).bytes(LARGE))
    (folder / "report.json").write_text(json.dumps({"a": 1}))
    made = Artifact(kind="graphs", path=folder, digest="d", summary={"windows": 3})
    made.publish()
    return made


def flip(path, place, keep_time=False):
    """Change one bit at `place`; the size stays, and on demand the time."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def unsampled_place(size):
    places = sampled_places(size)
    return next(place for place in range(size) if not any(first <= place < first + BLOCK for first in places))


def test_what_was_published_is_whole(artifact):
    assert damages(artifact.path) == damages(artifact.path, full=True) == []
    assert read_artifact(artifact.path, "graphs") == artifact


@pytest.mark.parametrize("name", ["note.txt", "train/x.bin", "model.safetensors", "report.json", COMPLETE])
def test_a_changed_byte_is_found_in_every_file(artifact, name):
    flip(artifact.path / name, 3)
    (found,) = damages(artifact.path)
    assert str(found) == f"{name} is no longer what was published"


@pytest.mark.parametrize("name", ["note.txt", "model.safetensors", "report.json"])
def test_a_changed_byte_is_found_in_what_is_small_or_exact_even_if_the_time_was_set_back(artifact, name):
    path = artifact.path / name
    flip(path, path.stat().st_size // 2 + 1, keep_time=True)
    assert [found.file for found in damages(artifact.path)] == [name]


def test_in_a_large_file_whose_time_was_set_back_a_quick_look_finds_sampled_bytes_and_a_full_look_all(artifact):
    path = artifact.path / "train" / "x.bin"
    flip(path, unsampled_place(LARGE), keep_time=True)
    assert damages(artifact.path) == []
    assert [found.file for found in damages(artifact.path, full=True)] == ["train/x.bin"]
    flip(path, sampled_places(LARGE)[5] + 7, keep_time=True)
    assert [found.file for found in damages(artifact.path)] == ["train/x.bin"]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, LARGE, 10**12])
def test_samples_are_always_the_same_and_have_the_begin_and_the_end(size):
    places = sampled_places(size)
    assert places == sampled_places(size)
    assert places[0] == 0
    assert places[-1] == max(size - BLOCK, 0)


def test_a_missing_and_a_truncated_file_are_named(artifact):
    (artifact.path / "note.txt").unlink()
    with (artifact.path / "train" / "x.bin").open("r+b") as file:
        file.truncate(5)
    assert sorted(map(str, damages(artifact.path))) == [
        "note.txt is missing",
        f"train/x.bin has 5 bytes, had {LARGE}",
    ]


def test_a_folder_in_place_of_a_file_is_found(artifact):
    (artifact.path / "note.txt").unlink()
    (artifact.path / "note.txt").mkdir()
    assert [found.file for found in damages(artifact.path)] == ["note.txt"]


@pytest.mark.parametrize("change", [lambda text: text[:-30], lambda text: text.replace('"size": 5', '"size": 6')])
def test_a_changed_seal_is_a_damage_itself(artifact, change):
    file = artifact.path / SEAL
    before = file.read_text()
    file.write_text(change(before))
    assert file.read_text() != before
    assert [found.file for found in damages(artifact.path)] == [SEAL]


def test_a_copy_with_other_times_is_whole_and_then_no_longer_compared_whole(artifact, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(artifact.path, copy, copy_function=shutil.copy)
    os.utime(copy / "train" / "x.bin", (1, 1))
    assert damages(copy) == []
    renew(copy)
    monkeypatch.setattr("tasks.seals.COMPARED_WHOLE", ())
    monkeypatch.setattr("tasks.seals.SMALL_BYTES", 0)
    monkeypatch.setattr("tasks.seals._digest", lambda path: pytest.fail(f"{path} was compared whole"))
    assert damages(copy) == []


def test_logs_may_grow_and_hidden_and_new_files_do_not_matter(artifact):
    (artifact.path / "stage.log").write_text("said\n")
    seal(artifact.path)
    (artifact.path / "stage.log").write_text("said\nmore\n")
    (artifact.path / ".half").write_text("temporary")
    (artifact.path / "new.txt").write_text("beside it")
    assert damages(artifact.path, full=True) == []


def test_an_artifact_without_a_seal_is_not_judged(artifact):
    (artifact.path / SEAL).unlink()
    flip(artifact.path / "note.txt", 0)
    assert damages(artifact.path, full=True) == []


def test_an_unfinished_and_a_withdrawn_folder_are_no_artifacts(artifact):
    (artifact.path / DAMAGED).write_text("{}")
    assert [found.file for found in damages(artifact.path)] == [DAMAGED]
    (artifact.path / DAMAGED).unlink()
    (artifact.path / COMPLETE).unlink()
    assert [found.file for found in damages(artifact.path)] == [COMPLETE]


def test_a_damaged_artifact_cannot_be_opened(artifact):
    flip(artifact.path / "note.txt", 0)
    with pytest.raises(CheckpointError, match=r"is damaged: note\.txt is no longer what was published"):
        read_artifact(artifact.path, "graphs")


def test_captures_that_change_between_being_found_and_being_read_are_an_error(demo_csv, tmp_path):
    data = shutil.copytree(demo_csv, tmp_path / "raw")
    raw = raw_artifact("demo", data)
    capture = next(data.glob("train_01_attack_free/*.csv"))
    capture.write_text("".join(capture.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(CaptureError, match="were changed while they were read"):
        ingest(tiny(), tmp_path / "captures", raw, "error")

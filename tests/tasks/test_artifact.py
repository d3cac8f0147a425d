import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.paths import COMPLETE
from kdgat_models.errors import CheckpointError
from tasks.artifact import Artifact, read_artifact


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "run").mkdir()
    return Artifact(kind="gat", path=tmp_path / "run", digest="d1", summary={"f1": 0.5})


def test_what_is_published_is_read_again_with_all_that_it_says(artifact):
    assert not artifact.exists
    artifact.publish()
    assert artifact.exists
    assert read_artifact(artifact.path, "gat") == artifact


def test_an_artifact_is_where_its_folder_is_now(artifact, tmp_path, monkeypatch):
    artifact.publish()
    artifact.path.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert read_artifact(Path("moved"), "gat") == artifact.model_copy(update={"path": tmp_path / "moved"})


def test_another_kind_is_refused_and_both_are_named(artifact):
    artifact.publish()
    with pytest.raises(CheckpointError, match=rf"{artifact.path} holds a gat, not a vgae"):
        read_artifact(artifact.path, "vgae")


def test_a_folder_that_is_not_finished_is_refused(artifact):
    with pytest.raises(CheckpointError, match="is not a finished run folder"):
        read_artifact(artifact.path, "gat")


@pytest.mark.parametrize("change", [{"digest": None}, {"more": 1}, {"kind": 3}, {"summary": []}])
def test_a_mark_that_does_not_fit_is_refused(artifact, change):
    artifact.publish()
    mark = artifact.path / COMPLETE
    values = json.loads(mark.read_text()) | change
    mark.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))
    with pytest.raises(CheckpointError, match=str(artifact.path)):
        read_artifact(artifact.path, "gat")


def test_an_artifact_is_not_changed_after_it_was_made_and_has_no_other_fields(artifact):
    with pytest.raises(ValidationError, match="frozen"):
        artifact.digest = "d2"
    with pytest.raises(ValidationError, match="size"):
        Artifact(kind="gat", path="/x", digest="d", size=3)
    assert Artifact(kind="gat", path="/x", digest="d").summary == {}

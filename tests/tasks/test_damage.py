import json
import os

import pytest

from config.paths import COMPLETE, DAMAGED, INPUTS, Paths
from kdgat_models.errors import CheckpointError
from kdgat_models.files import write_json
from tasks.artifact import Artifact
from tasks.execution.cache import cached, forget_if_lost
from tasks.records.damage import look, made_from, pointer, require_whole, withdraw
from tasks.seals import SEAL, Damage, damages


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "root")


@pytest.fixture
def said():
    return []


def make(paths, family, number, inputs=None, kind="graphs", finished=True):
    """An artifact as a stage leaves it: folder, inputs, seal, pointer and record."""
    key = f"{number:010d}" + "f" * 22
    folder = paths.root / "demo" / family / f"20260101T0000{number:02d}-{key[:10]}"
    folder.mkdir(parents=True)
    (folder / "content.txt").write_text(f"content of {family}")
    write_json(folder / INPUTS, {name: one.model_dump(mode="json") for name, one in (inputs or {}).items()})
    artifact = Artifact(kind=kind, path=folder, digest=family)
    if finished:
        artifact.publish()
        for file in (pointer(paths.cache, key), paths.cache / "records" / key):
            file.parent.mkdir(parents=True, exist_ok=True)
        pointer(paths.cache, key).write_text(str(folder))
        (paths.cache / "records" / key).write_text("{}")
    return artifact, key


@pytest.fixture
def chain(paths):
    """captures -> graphs -> vgae, gat -> fusion (unfinished), and other captures that nothing else knows of."""
    captures = make(paths, "captures", 1, kind="captures")
    graphs = make(paths, "graphs", 2, {"captures": captures[0]})
    vgae = make(paths, "vgae", 3, {"graphs": graphs[0]}, "vgae")
    gat = make(paths, "gat", 4, {"graphs": graphs[0], "vgae": vgae[0]}, "gat")
    fusion = make(paths, "fusion", 5, {"vgae": vgae[0], "gat": gat[0]}, "fusion", finished=False)
    other = make(paths, "others", 6, kind="captures")
    return {"captures": captures, "graphs": graphs, "vgae": vgae, "gat": gat, "fusion": fusion, "other": other}


def test_what_was_made_from_an_artifact_is_found_at_any_remove(paths, chain):
    made = made_from(paths.root, chain["graphs"][0].path)
    assert made == sorted(chain[name][0].path for name in ("vgae", "gat", "fusion"))
    assert made_from(paths.root, chain["other"][0].path) == []


def test_a_damaged_artifact_and_all_that_was_made_from_it_are_named_and_run_again(paths, chain, said):
    graphs, key = chain["graphs"]
    (graphs.path / "content.txt").write_text("altered of graphs")
    forget_if_lost(paths, key, said.append)
    (message,) = said
    assert "graphs" in message
    assert "content.txt is no longer what was published" in message
    for name, (artifact, its_key) in chain.items():
        spared = name in ("captures", "other")
        assert ((paths.cache / "records" / its_key).exists(), pointer(paths.cache, its_key).exists()) == (spared, spared), name
        assert (artifact.path / COMPLETE).exists() == spared
        assert (artifact.path / DAMAGED).exists() != spared
        assert spared or name == "graphs" or artifact.path.name in message


def test_a_whole_artifact_is_kept(paths, chain, said):
    for artifact, key in chain.values():
        if (artifact.path / COMPLETE).exists():
            forget_if_lost(paths, key, said.append)
            assert cached(paths.cache, key) == artifact
    assert said == []


def test_a_lost_artifact_is_forgotten_and_what_was_made_from_it_stays(paths, chain, said):
    graphs, key = chain["graphs"]
    (graphs.path / COMPLETE).unlink()
    forget_if_lost(paths, key, said.append)
    assert not (paths.cache / "records" / key).exists()
    assert (paths.cache / "records" / chain["gat"][1]).exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"/nowhere", b"x" * 5000])
def test_a_pointer_that_points_nowhere_is_forgotten_with_its_record(paths, chain, said, content):
    _, key = chain["graphs"]
    pointer(paths.cache, key).write_bytes(content)
    assert cached(paths.cache, key) is None
    forget_if_lost(paths, key, said.append)
    assert not (paths.cache / "records" / key).exists()


def test_a_record_without_a_pointer_is_not_trusted(paths, chain, said):
    _, key = chain["graphs"]
    pointer(paths.cache, key).unlink()
    forget_if_lost(paths, key, said.append)
    assert not (paths.cache / "records" / key).exists()


def test_a_dry_look_finds_damage_and_writes_nothing(paths, chain):
    graphs, key = chain["graphs"]
    (graphs.path / "content.txt").write_text("altered of graphs")
    before = sorted(paths.root.rglob("*"))
    assert cached(paths.cache, key) is None
    assert sorted(paths.root.rglob("*")) == before
    assert (paths.cache / "records" / key).exists()


def test_an_artifact_without_a_record_is_not_at_hand(paths, chain):
    _, key = chain["graphs"]
    (paths.cache / "records" / key).unlink()
    assert cached(paths.cache, key) is None
    assert cached(paths.cache, "0" * 32) is None


def test_a_folder_that_was_withdrawn_is_not_run_in_again(paths, chain, said):
    fusion, _ = chain["fusion"]
    withdraw(paths, chain["vgae"][0].path, [Damage("content.txt", "is missing")], said.append)
    assert not [path for path in fusion.path.parent.iterdir() if not (path / DAMAGED).exists()]


def test_an_artifact_of_an_older_version_is_sealed_at_first_sight_with_a_note(paths, chain, said):
    graphs, _ = chain["graphs"]
    (graphs.path / SEAL).unlink()
    assert look(graphs.path, said.append) == []
    assert "has no seal" in said[0]
    assert (graphs.path / SEAL).exists()
    (graphs.path / "content.txt").write_text("altered of graphs")
    assert [found.file for found in look(graphs.path, said.append)] == ["content.txt"]


def test_inputs_that_are_damaged_end_a_stage_with_their_name(paths, chain, said):
    graphs, gat = chain["graphs"][0], chain["gat"][0]
    inputs = {"graphs": graphs, "models": {"gat": gat}, "more": [graphs], "label": "large", "none": None}
    require_whole(paths, inputs, said.append)
    (gat.path / "content.txt").unlink()
    with pytest.raises(CheckpointError, match=r"content\.txt is missing"):
        require_whole(paths, inputs, said.append)
    assert (gat.path / DAMAGED).exists()
    with pytest.raises(CheckpointError, match="found damaged before"):
        require_whole(paths, [gat], said.append)


def test_a_fold_is_as_whole_as_its_pool_and_the_captures_of_that(paths, said):
    captures, _ = make(paths, "captures", 1, kind="captures")
    pool, _ = make(paths, "pool", 2, {"captures": captures}, "pool")
    folder = paths.root / "official" / "folds" / "0123"
    about = {"protocol": "official", "version": 1, "name": "demo", "train": [], "test": [], "left_out": {}}
    write_json(folder / "fold.json", {**about, "store": str(pool.path / "train")})
    fold = Artifact(kind="graphs", path=folder, digest="fold")
    model, key = make(paths, "gat", 3, {"graphs": fold}, "gat")
    require_whole(paths, [fold], said.append)
    (captures.path / "content.txt").write_text("altered of captures")
    with pytest.raises(CheckpointError, match=r"content\.txt"):
        require_whole(paths, [fold], said.append)
    assert (model.path / DAMAGED).exists()
    assert not (paths.cache / "records" / key).exists()
    assert sorted(path.name for path in folder.iterdir()) == ["fold.json"]


def test_raw_captures_are_no_business_of_seals(paths, tmp_path, said):
    require_whole(paths, [Artifact(kind="raw", path=tmp_path, digest="r")], said.append)


def test_what_is_damaged_is_written_down_beside_it(paths, chain, said):
    graphs, _ = chain["graphs"]
    withdraw(paths, graphs.path, [Damage("content.txt", "is missing")], said.append)
    assert json.loads((graphs.path / DAMAGED).read_text())["files"] == [{"file": "content.txt", "what": "is missing"}]
    about = json.loads((chain["gat"][0].path / DAMAGED).read_text())["files"]
    assert about == [{"file": str(graphs.path), "what": "was damaged, from which this was made"}]


def test_a_root_that_cannot_be_written_to_can_be_looked_at(paths, chain, said, monkeypatch):
    graphs, _ = chain["graphs"]
    os.utime(graphs.path / "content.txt", (1, 1))

    def refused(*args):
        raise PermissionError

    monkeypatch.setattr("tasks.seals.write_json", refused)
    assert look(graphs.path, said.append) == []
    assert damages(graphs.path) == []

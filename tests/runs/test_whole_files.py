"""A writer that dies leaves what was there before: readers never meet half a file."""

import json

import pytest

from config.paths import COMPLETE
from kdgat_models import files
from kdgat_models.runs import store as store_module
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import MetricRow
from tasks.artifact import Artifact, read_artifact


class Killed(Exception):
    pass


def row(value):
    return MetricRow(run_id="a", pipeline_run="p", name="f1", value=value)


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path)
    store.write(MetricRow, "1", [row(0.5)])
    return store


def values(store):
    return [found["value"] for found in store.query("select value from metrics")]


def test_a_table_that_is_half_written_is_not_there_and_the_one_before_stays(store, monkeypatch):
    def half(table, path, *arguments, **options):
        path.write_bytes(b"PAR1 and then nothing")
        assert values(store) == [0.5]  # somebody reads just now
        raise Killed

    monkeypatch.setattr(store_module.pq, "write_table", half)
    for name in ("1", "2"):
        with pytest.raises(Killed):
            store.write(MetricRow, name, [row(0.9)])
    monkeypatch.undo()
    assert values(store) == [0.5]
    assert [path.name for path in (store.folder / "metrics").iterdir()] == ["1.parquet"]
    store.write(MetricRow, "1", [row(0.9)])
    assert values(store) == [0.9]


def test_what_a_killed_writer_left_behind_is_not_read(store):
    for name in (".1.parquet.0a1b2c3d", ".2.parquet", "3.parquet.part", "_schema.parquet"):
        (store.folder / "metrics" / name).write_bytes(b"PAR1 and then nothing")
    assert values(store) == [0.5]
    assert [path.name for path in store.files("metrics")] == ["1.parquet"]


def test_an_artifact_is_whole_or_not_published(tmp_path, monkeypatch):
    artifact = Artifact(kind="gat", path=tmp_path, digest="d1")

    def killed(source, target):
        assert json.loads(source.read_text())["digest"] == "d2"  # all is written before anything is in its place
        raise Killed

    artifact.publish()
    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(Killed):
        artifact.model_copy(update={"digest": "d2"}).publish()
    monkeypatch.undo()
    assert read_artifact(tmp_path, "gat").digest == "d1"
    assert (tmp_path / COMPLETE).is_file()

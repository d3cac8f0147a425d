"""Fusions of earlier runs, which are found by the models that they were trained on."""

import pytest
from trained import finished

from config.paths import Paths
from tasks.plans.training import plan_evaluation


def trio(root):
    vgae, gat = finished(root, "vgae"), finished(root, "gat")
    return finished(root, "fusion", inputs={"vgae": vgae.digest, "gat": gat.digest})


def evaluated(root):
    planned = plan_evaluation("demo", Paths(root), variants=["large"])
    return planned.variants[0].earlier["fusion"], planned.notes


def test_the_newest_fusion_of_just_these_two_models_is_taken(tmp_path):
    older = trio(tmp_path)
    inputs = {name: one.digest for name, one in zip(("vgae", "gat"), models_of(tmp_path), strict=True)}
    newer = finished(tmp_path, "fusion", inputs=inputs)
    finished(tmp_path, "fusion", inputs={**inputs, "gat": "another"})
    finished(tmp_path, "fusion", inputs={"vgae": inputs["vgae"]})
    assert older.path != newer.path
    assert evaluated(tmp_path)[0].path == newer.path


def test_a_fusion_in_the_folder_of_earlier_versions_is_found_and_a_newer_one_before_it(tmp_path):
    older = trio(tmp_path)
    (tmp_path / "demo" / "fusion_large_dqn").rename(tmp_path / "demo" / "dqn_large_fusion_dqn")
    found, _ = evaluated(tmp_path)
    assert (found.digest, found.path.parent.name) == (older.digest, "dqn_large_fusion_dqn")
    inputs = {name: one.digest for name, one in zip(("vgae", "gat"), models_of(tmp_path), strict=True)}
    newer = finished(tmp_path, "fusion", inputs=inputs)
    assert evaluated(tmp_path)[0].path == newer.path


def models_of(root):
    planned = plan_evaluation("demo", Paths(root), variants=["large"]).variants[0].earlier
    return planned["vgae"], planned["gat"]


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": {}, "vocabulary": []}', '{"provenance": 3}', ""])
@pytest.mark.parametrize("published_so", [False, True])
def test_a_fusion_that_cannot_be_read_is_passed_over_and_named(tmp_path, content, published_so):
    older = trio(tmp_path)
    inputs = {name: one.digest for name, one in zip(("vgae", "gat"), models_of(tmp_path), strict=True)}
    newer = finished(tmp_path, "fusion", inputs=inputs)
    (newer.path / "checkpoint.json").write_text(content)
    if published_so:
        newer.publish()
    found, notes = evaluated(tmp_path)
    assert found.path == older.path
    assert [note for note in notes if str(newer.path) in note and note.startswith("passed over: ")]

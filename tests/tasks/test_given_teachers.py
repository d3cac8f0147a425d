"""Teachers that are named by their folders, and what is known of the graphs that they would read."""

import pytest
from conftest import tiny
from trained import finished

from config import ConfigError
from config.paths import Paths
from kdgat_models.errors import CheckpointError
from tasks.plans.training import plan_pipeline


def plan(root, **options):
    return plan_pipeline("demo", Paths(root), **{"variants": ["small_kd"], "models": ["vgae", "gat"], **options})


def test_a_teacher_may_be_given_as_a_path_and_wins_over_newer_ones(tmp_path):
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    newer = finished(tmp_path, "vgae")
    assert plan(tmp_path).variants[0].teachers["vgae"].path == newer.path
    given = plan(tmp_path, teachers={"vgae": vgae.path}).variants[0].teachers
    assert (given["vgae"].path, given["gat"].path) == (vgae.path, gat.path)
    along = plan(tmp_path, variants=["large", "small_kd"], teachers={"vgae": vgae.path}).variants[1].teachers
    assert (along["vgae"].path, along["gat"]) == (vgae.path, None)


def test_a_given_teacher_has_to_be_a_finished_larger_model_of_its_kind(tmp_path):
    finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    wrong = {
        "holds a gat, not a vgae": finished(tmp_path, "gat").path,
        "it is small, and a teacher of a small model has to be larger": finished(tmp_path, "vgae", "small").path,
        "it is tiny, and a teacher of a small model has to be larger": finished(tmp_path, "vgae", "tiny").path,
        "not a finished run folder": tmp_path,
    }
    for message, folder in wrong.items():
        with pytest.raises(CheckpointError, match=message):
            plan(tmp_path, teachers={"vgae": folder})


def test_a_small_model_may_teach_a_tiny_one_if_it_is_named(tmp_path):
    vgae, gat = finished(tmp_path, "vgae", "small"), finished(tmp_path, "gat")
    teachers = plan(tmp_path, variants=["tiny_kd"], teachers={"vgae": vgae.path}).variants[0].teachers
    assert (teachers["vgae"].path, teachers["gat"].path) == (vgae.path, gat.path)


def test_a_given_teacher_that_learnt_on_another_dataset_is_pointed_out(tmp_path):
    finished(tmp_path, "gat")
    foreign = finished(tmp_path, "vgae", dataset="hcrl_sa")
    planned = plan(tmp_path, teachers={"vgae": foreign.path})
    assert planned.notes == (f"the teacher of vgae in {foreign.path} learnt on hcrl_sa",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["gat"]}, "vgae is not trained, only gat; see --models"),
        ({"distillation": ["no-kd", "with-kd"]}, "no vgae is distilled in small_kd_gat"),
        ({"variants": ["large", "small_nokd"]}, "no vgae is distilled in large, small_nokd"),
    ],
)
def test_a_teacher_for_a_model_that_has_no_student_is_a_contradiction(tmp_path, options, message):
    vgae, _ = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, teachers={"vgae": vgae.path}, **options)


def test_fusion_has_no_teacher(tmp_path):
    with pytest.raises(ConfigError, match="fusion is never distilled; models that are: vgae, gat"):
        plan(tmp_path, models=["vgae", "gat", "fusion"], teachers={"fusion": tmp_path})


def test_the_vocabulary_of_graphs_that_are_built_is_found(tmp_path, demo_csv, demo_captures, demo_graphs):
    """As a run leaves them: records of what was made of these captures, with these settings."""
    from tasks.caching import cache_key
    from tasks.execution.preview import ids_at_hand
    from tasks.raw import raw_artifact
    from tasks.records.damage import pointer
    from tasks.stages.table import STAGES

    paths, config = Paths(tmp_path), tiny()
    assert ids_at_hand(config, demo_csv, "error", paths) is None
    inputs = {"ingest": {"raw": raw_artifact("demo", demo_csv), "on_bad_rows": "error"}, "graphs": {"captures": demo_captures}}
    for stage, artifact in (("ingest", demo_captures), ("graphs", demo_graphs)):
        artifact.publish()
        mark = pointer(paths.cache, cache_key(STAGES[stage], config, inputs[stage]))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(str(artifact.path))
        record = paths.cache / "records" / mark.name
        record.parent.mkdir(exist_ok=True)
        record.write_text("{}")
    from kdgat_models.graphs.dataset import GraphDataset

    assert ids_at_hand(config, demo_csv, "error", paths) == GraphDataset(demo_graphs.path).known.ids
    assert ids_at_hand(tiny(**{"preprocessing.window_size": 50}), demo_csv, "error", paths) is None

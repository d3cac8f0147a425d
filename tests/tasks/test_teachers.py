"""Which trained models can teach, and what is said of those that cannot."""

import pytest
from conftest import tiny
from trained import IDS, changed, finished

from config import ConfigError
from config.paths import Paths
from kdgat_models.errors import CheckpointError, MissingTeacherError
from tasks.plan import plan_pipeline
from tasks.teachers import find_teacher, given_teacher, nobody_knows


def student(model="vgae", scale="small", **settings):
    return tiny(model, scale, "kd_standard", **settings)


def found(root, config, known_ids=nobody_knows):
    return find_teacher(config, Paths(root), known_ids).path


def why_none(root, config, known_ids=nobody_knows):
    with pytest.raises(MissingTeacherError) as error:
        find_teacher(config, Paths(root), known_ids)
    return str(error.value)


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_the_newest_large_model_of_the_dataset_teaches(tmp_path, model):
    finished(tmp_path, model)
    newest = finished(tmp_path, model)
    finished(tmp_path, {"vgae": "gat", "gat": "vgae"}[model])
    finished(tmp_path, model, "small")
    finished(tmp_path, model, dataset="hcrl_sa")
    assert found(tmp_path, student(model)) == newest.path


def test_a_teacher_of_another_dataset_is_not_taken(tmp_path):
    finished(tmp_path, "vgae", dataset="hcrl_sa")
    assert "no teacher for vgae: demo has no finished vgae large" in why_none(tmp_path, student())


def test_the_newest_one_that_can_teach_wins_over_newer_ones_that_cannot(tmp_path):
    finished(tmp_path, "vgae")
    wanted = finished(tmp_path, "vgae")
    finished(tmp_path, "vgae", method="published")
    finished(tmp_path, "vgae", **{"identity.encoding": "hash"})
    assert found(tmp_path, student()) == wanted.path


def test_how_a_teacher_sampled_its_windows_does_not_matter(tmp_path):
    teacher = finished(tmp_path, "gat", **{"curriculum.sampling": "normal"})
    assert found(tmp_path, student("gat")) == teacher.path


UNFIT = [
    ({"method": "published"}, {}, "its method is published, this run's is relative"),
    ({"preprocessing.feature_schema": "reference"}, {}, "feature schema reference version 1, this run's graphs have relative"),
    ({"identity.encoding": "hash"}, {}, "it knows arbitration IDs by hash, this run's models by none"),
    ({"identity.encoding": "hash"}, {"identity.encoding": "hash", "identity.buckets": 8}, "into 64 buckets, this run into 8"),
    ({}, {"method": "published"}, "its method is relative, this run's is published"),
]


@pytest.mark.parametrize(("teacher", "pupil", "reason"), UNFIT)
def test_one_that_cannot_teach_is_not_taken_and_the_error_says_why(tmp_path, teacher, pupil, reason):
    folder = finished(tmp_path, "vgae", **teacher).path
    message = why_none(tmp_path, student(**pupil))
    assert f"of those that demo has, none can teach it:\n  {folder}: " in message
    assert reason in message
    assert "kdgat run --dataset demo --variants large" in message
    with pytest.raises(CheckpointError, match="cannot teach vgae small"):
        given_teacher(folder, student(**pupil), nobody_knows)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"version": 99}, "feature schema relative version 99, this run's graphs have relative version"),
        ({"node_features": ["other"]}, "it reads other node features than"),
        ({"edge_features": []}, "it reads other edge features than"),
    ],
)
def test_features_are_compared_not_only_their_schemas_name(tmp_path, values, reason):
    teacher = finished(tmp_path, "vgae")
    from kdgat_models.graphs.schemas import feature_schema

    changed(teacher, "checkpoint.json", schema={**feature_schema("relative").describe(), **values})
    assert reason in why_none(tmp_path, student())


def test_a_vocabulary_is_compared_with_that_of_the_graphs_if_they_are_built(tmp_path):
    lookup = {"identity.encoding": "lookup"}
    older = finished(tmp_path, "vgae", ids=IDS, **lookup)
    newer = finished(tmp_path, "vgae", ids=(1, 2), **lookup)
    assert found(tmp_path, student(**lookup)) == newer.path
    assert found(tmp_path, student(**lookup), lambda config: IDS) == older.path
    message = why_none(tmp_path, student(**lookup), lambda config: (7,))
    assert "it knows 2 arbitration IDs, this run's graphs have 1, and not the same ones" in message


def test_no_vocabulary_is_asked_for_where_ids_are_not_looked_up(tmp_path):
    def never(config):
        raise AssertionError

    teacher = finished(tmp_path, "vgae")
    assert found(tmp_path, student(), never) == teacher.path


def test_broken_folders_are_named_and_passed_over(tmp_path):
    wanted = finished(tmp_path, "vgae")
    broken = [finished(tmp_path, "vgae") for _ in range(3)]
    (broken[0].path / "checkpoint.json").write_text("{")
    (broken[1].path / "model.safetensors").unlink()
    (broken[2].path / "artifact.json").write_text("[]")
    assert found(tmp_path, student()) == wanted.path
    (wanted.path / "config.json").write_text("{}")
    message = why_none(tmp_path, student())
    for folder in (wanted, *broken):
        assert str(folder.path) in message


def test_an_error_names_a_few_candidates_and_counts_the_rest(tmp_path):
    for _ in range(7):
        finished(tmp_path, "vgae", method="published")
    assert why_none(tmp_path, student()).count("its method is published") == 5
    assert "and 2 more" in why_none(tmp_path, student())


# Teachers that are given.


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
    with pytest.raises(ConfigError, match="dqn is never distilled; models that are: vgae, gat"):
        plan(tmp_path, models=["vgae", "gat", "dqn"], teachers={"dqn": tmp_path})


def test_the_vocabulary_of_graphs_that_are_built_is_found(tmp_path, demo_csv, demo_captures, demo_graphs):
    """As a run leaves them: records of what was made of these captures, with these settings."""
    from tasks.caching import cache_key
    from tasks.damage import pointer
    from tasks.preview import ids_at_hand
    from tasks.raw import raw_artifact

    paths, config = Paths(tmp_path), tiny()
    assert ids_at_hand(config, demo_csv, "error", paths) is None
    inputs = {"ingest": {"raw": raw_artifact("demo", demo_csv), "on_bad_rows": "error"}, "graphs": {"captures": demo_captures}}
    for stage, artifact in (("ingest", demo_captures), ("graphs", demo_graphs)):
        artifact.publish()
        mark = pointer(paths.cache, cache_key(stage, config, inputs[stage]))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(str(artifact.path))
        record = paths.cache / "records" / mark.name
        record.parent.mkdir(exist_ok=True)
        record.write_text("{}")
    from kdgat_models.graphs.dataset import GraphDataset

    assert ids_at_hand(config, demo_csv, "error", paths) == GraphDataset(demo_graphs.path).known.ids
    assert ids_at_hand(tiny(**{"preprocessing.window_size": 50}), demo_csv, "error", paths) is None

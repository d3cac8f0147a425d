"""Which trained models can teach, and what is said of those that cannot."""

import json

import pytest
from conftest import tiny
from trained import IDS, changed, finished

from config.paths import Paths
from kdgat_models.errors import CheckpointError, MissingTeacherError
from kdgat_models.graphs.schemas import feature_schema
from tasks.artifact import Artifact
from tasks.plans.teachers import candidates, find_teacher, given_teacher, nobody_knows, read_candidate
from tasks.seals import SEAL


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


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_every_dataset_has_teachers_of_its_own(tmp_path, model):
    taught = {"dataset": "hcrl_sa"}
    finished(tmp_path, model)
    assert "hcrl_sa has no finished" in why_none(tmp_path, student(model, **taught))
    wanted = finished(tmp_path, model, **taught)
    finished(tmp_path, model)
    assert found(tmp_path, student(model, **taught)) == wanted.path


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


@pytest.mark.parametrize(("count", "more"), [(5, ""), (6, "\n  and 1 more"), (8, "\n  and 3 more")])
def test_the_error_says_all_that_one_has_to_know(tmp_path, count, more):
    remedy = (
        "Train one with `kdgat run --dataset demo --variants large --modality automotive`{}, train it along with "
        "`--variants large,small_kd`, or name one with `--teacher vgae=FOLDER`"
    )
    start = "no teacher for vgae: {}"
    assert why_none(tmp_path, student()) == start.format("demo has no finished vgae large. ") + remedy.format("")
    folders = [finished(tmp_path, "vgae", **{"identity.encoding": "hash"}).path for _ in range(count)]
    reason = "it knows arbitration IDs by hash, this run's models by none"
    lines = "".join(f"\n  {folder}: {reason}" for folder in folders[:-6:-1])
    assert why_none(tmp_path, student()) == (
        f"{start.format('of those that demo has, none can teach it:')}{lines}{more}\n{remedy.format(' and the same --set')}"
    )


def test_all_reasons_are_given_and_what_follows_from_another_is_not(tmp_path):
    teacher = finished(tmp_path, "vgae", "small", method="published", **{"identity.encoding": "lookup"})
    with pytest.raises(CheckpointError) as refused:
        given_teacher(teacher.path, student(**{"identity.encoding": "lookup"}), lambda config: (7,))
    assert str(refused.value) == (
        f"{teacher.path} cannot teach vgae small: it is small, and a teacher of a small model has to be larger; "
        "its method is published, this run's is relative; "
        "it reads feature schema reference version 1, this run's graphs have relative version "
        f"{feature_schema('relative').describe()['version']}"
    )


def test_the_number_of_buckets_matters_only_where_ids_are_hashed(tmp_path):
    teacher = finished(tmp_path, "vgae", **{"identity.buckets": 8})
    assert found(tmp_path, student()) == teacher.path
    hashed = {"identity.encoding": "hash", "identity.buckets": 8}
    hashing = finished(tmp_path, "vgae", **hashed)
    assert found(tmp_path, student(**hashed)) == hashing.path


def test_a_vocabulary_is_compared_only_where_ids_are_looked_up(tmp_path):
    hashed = {"identity.encoding": "hash"}
    teacher = finished(tmp_path, "vgae", ids=(1, 2), **hashed)
    assert found(tmp_path, student(**hashed), lambda config: IDS) == teacher.path


def test_the_newest_is_the_newest_however_its_windows_were_sampled(tmp_path):
    for sampling in ("normal", "balanced", "normal", "balanced"):
        newest = finished(tmp_path, "gat", **{"curriculum.sampling": sampling})
        assert found(tmp_path, student("gat")) == newest.path


def test_run_folders_are_told_apart_by_scale_model_and_distillation(tmp_path):
    plain, taught = finished(tmp_path, "gat", "small").path, finished(tmp_path, "gat", "small", "kd_standard").path
    finished(tmp_path, "vgae", "small"), finished(tmp_path, "gat"), finished(tmp_path, "gat", "small", dataset="hcrl_sa")
    evaluated = plain.parents[1] / "gat_small_evaluation" / "20990101T000000000000-0000000000"
    evaluated.mkdir(parents=True)
    Artifact(kind="evaluation", path=evaluated, digest="d").publish()
    assert candidates(Paths(tmp_path), "demo", "gat", "small", distilled=False) == [plain]
    assert candidates(Paths(tmp_path), "demo", "gat", "small", distilled=True) == [taught]


def test_a_folder_with_the_files_of_another_model_is_no_candidate(tmp_path):
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    changed(vgae, "config.json", **json.loads((gat.path / "config.json").read_text()))
    with pytest.raises(CheckpointError, match=rf"^{vgae.path} holds a gat, not a vgae$"):
        read_candidate(vgae.path, "vgae")
    with pytest.raises(CheckpointError, match=rf"^{gat.path} holds a gat, not a fusion$"):
        read_candidate(gat.path, "fusion")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("checkpoint.json", "[]", "has no readable checkpoint.json: TypeError"),
        ("checkpoint.json", "{", "has no readable checkpoint.json: JSONDecodeError"),
        ("checkpoint.json", '{"schema": {}}', "has no readable checkpoint.json: KeyError"),
        ("config.json", '{"sede": 1}', "unknown setting 'sede'"),
        ("config.json", "{", "is not a JSON config"),
    ],
)
def test_a_file_of_a_run_folder_that_cannot_be_read_is_named(tmp_path, file, text, message):
    teacher = finished(tmp_path, "vgae")
    (teacher.path / file).write_text(text)
    teacher.publish()
    with pytest.raises(CheckpointError, match=rf"^{teacher.path}.*{message}"):
        read_candidate(teacher.path, "vgae")


def test_a_run_folder_of_before_there_were_seals_lacks_its_tensors(tmp_path):
    teacher = finished(tmp_path, "vgae")
    (teacher.path / SEAL).unlink()
    assert read_candidate(teacher.path, "vgae").what == "large vgae"
    (teacher.path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=rf"^{teacher.path} has no model.safetensors$"):
        read_candidate(teacher.path, "vgae")

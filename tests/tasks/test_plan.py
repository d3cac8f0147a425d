import pytest

from config import ConfigError
from config.paths import Paths
from kdgat_models.errors import CheckpointError, MissingTeacherError
from tasks.artifact import Artifact
from tasks.plan import plan_evaluation, plan_pipeline

ALL = ["vgae", "gat", "dqn"]


def plan(tmp_path, **options):
    return plan_pipeline("demo", Paths(tmp_path), **{"variants": ["large", "small_kd", "small_nokd"], "models": ALL, **options})


def finished(tmp_path, model, scale="large", stage=None, **options):
    """A finished run folder, as the supervisor leaves it."""
    from config import resolve

    config = resolve(model, scale, **options)
    stage = stage or {"dqn": "fusion"}.get(model, model)
    folder = Paths(tmp_path).run_folder(config, stage, model * 8).path
    artifact = Artifact(kind=stage, path=folder, digest=f"{model}-{scale}")
    artifact.publish()
    return artifact


def test_three_variants_with_the_teachers_first(tmp_path):
    planned = plan(tmp_path, variants=["small_nokd", "small_kd", "large"])
    assert [variant.name for variant in planned.variants] == ["large", "small_kd", "small_nokd"]
    large, distilled, plain = planned.variants
    assert {config.scale for config in large.configs.values()} == {"large"}
    assert [distilled.configs[model].auxiliary.name for model in ALL] == ["kd_standard", "kd_standard", "none"]
    assert [plain.configs[model].auxiliary.name for model in ALL] == ["none"] * 3
    assert {config.scale for config in distilled.configs.values()} == {"small"}
    assert planned.notes == ()


def test_the_tiny_variant_is_distilled_from_the_large_one(tmp_path):
    large, tiny = plan(tmp_path, variants=["tiny_kd", "large"]).variants
    assert (large.name, tiny.name) == ("large", "tiny_kd")
    assert {config.scale for config in tiny.configs.values()} == {"tiny"}
    assert [tiny.configs[model].auxiliary.name for model in ALL] == ["kd_standard", "kd_standard", "none"]
    with pytest.raises(MissingTeacherError, match=r"no teacher for vgae.*--variants large"):
        plan(tmp_path, variants=["tiny_kd"])


def test_a_shorter_distillation_is_padded_with_no_kd_and_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="gat, dqn are taken as no-kd"):
        planned = plan(tmp_path, distillation=["with-kd"])
    assert [planned.variants[1].configs[model].auxiliary.distils for model in ALL] == [True, False, False]


def test_fusion_with_kd_is_rejected_for_that_stage_alone_with_the_reason(tmp_path):
    planned = plan(tmp_path, distillation=["with-kd", "with-kd", "with-kd"])
    assert [planned.variants[1].configs[model].auxiliary.distils for model in ALL] == [True, True, False]
    assert "fusion is not distilled: it learns from" in planned.notes[0]


def test_a_missing_teacher_is_an_error_before_anything_runs(tmp_path):
    with pytest.raises(MissingTeacherError, match=r"no teacher for vgae.*--variants large"):
        plan(tmp_path, variants=["small_kd"])


def test_a_teacher_is_found_by_dataset_and_model_type(tmp_path):
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    teachers = plan(tmp_path, variants=["small_kd"]).variants[0].teachers
    assert (teachers["vgae"].path, teachers["gat"].path, teachers["dqn"]) == (vgae.path, gat.path, None)


def test_a_teacher_may_be_given_as_a_path_and_must_be_of_its_kind(tmp_path):
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    given = plan(tmp_path / "other", variants=["small_kd"], teachers={"vgae": vgae.path, "gat": gat.path}).variants[0]
    assert given.teachers["vgae"].path == vgae.path
    with pytest.raises(CheckpointError, match="holds a gat, not a vgae"):
        plan(tmp_path, variants=["small_kd"], teachers={"vgae": gat.path})
    with pytest.raises(CheckpointError, match="not a finished run folder"):
        plan(tmp_path, variants=["small_kd"], teachers={"vgae": tmp_path})


def test_fusion_alone_takes_models_that_were_trained_before_or_says_what_is_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"stands on gat.*--models"):
        plan(tmp_path, variants=["large"], models=["dqn"])
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    earlier = plan(tmp_path, variants=["large"], models=["dqn"]).variants[0].earlier
    assert (earlier["vgae"].digest, earlier["gat"].digest) == (vgae.digest, gat.digest)


def test_the_classifier_alone_needs_no_autoencoder_without_a_curriculum(tmp_path):
    for ranked in ({"method": "published"}, {"curriculum.sampling": "hard_undersample"}):
        with pytest.raises(ConfigError, match=r"curriculum.sampling=normal"):
            plan(tmp_path, variants=["large"], models=["gat"], overrides=ranked)
    for overrides in ({}, {"method": "published", "curriculum.sampling": "normal"}):
        planned = plan(tmp_path, variants=["large"], models=["gat"], overrides=overrides)
        assert planned.variants[0].trains == ("gat",)
        assert planned.variants[0].earlier == {"vgae": None, "gat": None, "dqn": None}


@pytest.mark.parametrize(
    "options",
    [
        {"models": ["vgea"]},
        {"variants": ["medium"]},
        {"distillation": ["kd"]},
        {"teachers": {"x": "y"}},
        {"models": ["gat", "gat"]},
    ],
)
def test_an_unknown_or_doubled_name_lists_what_there_is(tmp_path, options):
    with pytest.raises(ConfigError, match="there are: "):
        plan(tmp_path, **options)


def test_too_many_values_of_distillation_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="4 values"):
        plan(tmp_path, distillation=["no-kd"] * 4)


def test_evaluation_without_models_is_an_error_that_says_how_to_train_them(tmp_path):
    with pytest.raises(ConfigError, match="kdgat run --variants large"):
        plan_evaluation("demo", Paths(tmp_path), variants=["large"])

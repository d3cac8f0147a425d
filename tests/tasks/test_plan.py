import warnings

import pytest
from trained import finished

from config import ConfigError
from config.paths import Paths
from config.sections import ResourcesConfig
from kdgat_models.errors import MissingTeacherError
from tasks.caching import cache_key
from tasks.plans.training import all_settings, plan_evaluation, plan_pipeline
from tasks.stages.table import STAGES

ALL = ["vgae", "gat", "fusion"]
ALONG = ["large", "small_kd"]  # teachers and students in one run


def plan(tmp_path, **options):
    return plan_pipeline("demo", Paths(tmp_path), **{"variants": None, "models": ALL, **options})


def distilled(variant):
    return [model for model, config in variant.configs.items() if config.auxiliary.distils]


def test_three_variants_with_the_teachers_first(tmp_path):
    planned = plan(tmp_path, variants=["small_nokd", "small_kd", "large"])
    assert planned.variants == plan(tmp_path).variants, "these are the default"
    assert [variant.name for variant in planned.variants] == ["large", "small_kd", "small_nokd"]
    assert [distilled(variant) for variant in planned.variants] == [[], ["vgae", "gat"], []]
    assert [{c.scale for c in variant.configs.values()} for variant in planned.variants] == [{"large"}, {"small"}, {"small"}]
    assert planned.notes == ()


def test_the_tiny_variant_is_distilled_from_the_large_one(tmp_path):
    large, tiny = plan(tmp_path, variants=["tiny_kd", "large"]).variants
    assert (large.name, tiny.name) == ("large", "tiny_kd")
    assert {config.scale for config in tiny.configs.values()} == {"tiny"}
    assert distilled(tiny) == ["vgae", "gat"]
    with pytest.raises(MissingTeacherError, match=r"no teacher for vgae.*--variants large"):
        plan(tmp_path, variants=["tiny_kd"])


def test_a_missing_teacher_is_an_error_before_anything_runs(tmp_path):
    with pytest.raises(MissingTeacherError, match=r"no teacher for vgae: demo has no finished vgae large.*--variants large"):
        plan(tmp_path, variants=["small_kd"])


# --models, --distillation -> the variant that is made, and what is distilled of what is trained.
READINGS = [
    ("gat", "with-kd", "small_kd", {"gat"}),
    ("vgae", "with-kd", "small_kd", {"vgae"}),
    ("gat", "no-kd", "small_nokd", set()),
    ("vgae,gat", "with-kd,no-kd", "small_kd_vgae", {"vgae"}),
    ("vgae,gat", "no-kd,with-kd", "small_kd_gat", {"gat"}),
    ("gat,vgae", "with-kd,no-kd", "small_kd_gat", {"gat"}),
    ("fusion,gat,vgae", "no-kd,with-kd,no-kd", "small_kd_gat", {"gat"}),
    ("vgae,gat,fusion", "with-kd,with-kd,no-kd", "small_kd", {"vgae", "gat"}),
    ("vgae,gat,fusion", "no-kd,no-kd,no-kd", "small_nokd", set()),
]


@pytest.mark.parametrize(("models", "distillation", "name", "taught"), READINGS)
def test_the_list_of_distillation_belongs_to_the_models_as_they_were_listed(tmp_path, models, distillation, name, taught):
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planned = plan(tmp_path, models=models.split(","), distillation=distillation.split(","))
    (variant,) = planned.variants
    assert (variant.name, variant.trains) == (name, tuple(model for model in ALL if model in models.split(",")))
    assert {model for model in variant.trains if variant.configs[model].auxiliary.distils} == taught
    teachers = {model: teacher.path for model, teacher in variant.teachers.items() if teacher}
    assert teachers == {model: artifact.path for model, artifact in (("vgae", vgae), ("gat", gat)) if model in taught}


def test_the_list_of_distillation_belongs_to_tiny_variants_too(tmp_path):
    asked = {"models": ["vgae", "gat"], "distillation": ["no-kd", "with-kd"]}
    large, tiny = plan(tmp_path, variants=["large", "tiny_kd"], **asked).variants
    assert (tiny.name, distilled(tiny), distilled(large)) == ("tiny_kd_gat", ["gat"], [])


def test_a_mixed_run_says_what_it_is_called(tmp_path):
    asked = {"variants": ALONG, "models": ["vgae", "gat"], "distillation": ["with-kd", "no-kd"]}
    assert plan(tmp_path, **asked).notes == ("small_kd with distillation with-kd,no-kd is called small_kd_vgae",)
    named = plan(tmp_path, **{**asked, "variants": ["large", "small_kd_vgae"]})
    assert (named.variants, named.notes) == (plan(tmp_path, **asked).variants, ())
    with pytest.raises(ConfigError, match="contradict each other: that is small_kd_vgae"):
        plan(tmp_path, **{**asked, "variants": ["large", "small_kd_gat"]})


@pytest.mark.parametrize(
    ("models", "padded"),
    [(ALL, "gat, fusion taken as no-kd"), (["vgae", "gat"], "gat taken as no-kd")],
)
def test_a_shorter_distillation_is_padded_with_no_kd_and_a_warning(tmp_path, models, padded):
    with pytest.warns(UserWarning, match=padded) as warned:
        planned = plan(tmp_path, variants=ALONG, models=models, distillation=["with-kd"])
    assert len(warned) == 1
    assert any(padded in note for note in planned.notes)
    student = planned.variants[1]
    assert [m for m in student.trains if student.configs[m].auxiliary.distils] == models[:1]


@pytest.mark.parametrize("variants", [["large"], ["small_nokd"], ["large", "small_nokd"], ["tiny_nokd"]])
def test_with_kd_and_no_variant_that_is_distilled_contradict_each_other(tmp_path, variants):
    with pytest.raises(ConfigError, match=rf"--variants {','.join(variants)} and --distillation with-kd,no-kd contradict"):
        plan(tmp_path, variants=variants, models=["vgae", "gat"], distillation=["with-kd", "no-kd"])
    assert len(plan(tmp_path, variants=variants, models=["vgae", "gat"], distillation=["no-kd", "no-kd"]).variants) == len(
        variants
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["vgea"]}, "'vgea' is unknown.*there are: vgae, gat, fusion"),
        ({"variants": ["medium"]}, "there are: large, small_kd"),
        ({"distillation": ["kd"]}, "there are: with-kd, no-kd, one for each of vgae,gat,fusion"),
        ({"teachers": {"x": "y"}}, "there are: vgae, gat, fusion"),
        ({"models": ["gat", "gat"]}, "'gat' is unknown or doubled"),
        ({"variants": ["large", "large"]}, "'large' is unknown or doubled"),
        ({"models": []}, "no model is given; there are: vgae, gat, fusion"),
        ({"variants": []}, "no variant is given; there are: large"),
        ({"distillation": []}, "no distillation is given"),
    ],
)
def test_an_unknown_doubled_or_empty_list_says_what_there_is(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, **options)


@pytest.mark.parametrize(
    ("variants", "settings"),
    [
        (["large"], {"auxiliary.name": "kd_standard"}),
        (ALONG, {"small_kd:auxiliary.name": "none"}),
        (ALONG, {"auxiliary": {"name": "none"}}),
    ],
)
def test_a_setting_does_not_secretly_switch_distillation_on_or_off(tmp_path, variants, settings):
    with pytest.raises(ConfigError, match=r"auxiliary.name=.* contradicts .* say it by --distillation"):
        plan(tmp_path, variants=variants, overrides=settings)


def test_settings_of_distillation_itself_may_be_changed(tmp_path):
    student = plan(tmp_path, variants=ALONG, overrides={"small_kd:auxiliary.alpha": 0.2}).variants[1]
    assert student.configs["gat"].auxiliary.alpha == 0.2
    assert student.configs["gat"].auxiliary.distils


# Aimed settings.


def test_a_setting_that_is_aimed_at_the_student_leaves_the_teacher_as_it_is(tmp_path):
    large, student = plan(tmp_path, variants=ALONG, overrides={"small_kd:gat.hidden": 8, "gat.dropout": 0.3}).variants
    assert (large.configs["gat"].gat.hidden, student.configs["gat"].gat.hidden) == (48, 8)
    assert {large.configs["gat"].gat.dropout, student.configs["gat"].gat.dropout} == {0.3}


@pytest.mark.parametrize("name", ["small_kd", "small_kd_vgae"])
def test_a_mixed_variant_is_aimed_at_by_either_name(tmp_path, name):
    asked = {"variants": ALONG, "models": ["vgae", "gat"], "distillation": ["with-kd", "no-kd"]}
    student = plan(tmp_path, **asked, overrides={f"{name}:gat.hidden": 8}).variants[1]
    assert (student.name, student.configs["gat"].gat.hidden) == ("small_kd_vgae", 8)


def test_shared_stages_do_not_depend_on_aimed_settings(tmp_path):
    aimed = {"large:gat.hidden": 8, "large:seed": 5, "small_kd:training.lr": 0.5, "large:resources.memory_gb.graphs": 9}
    configs = [plan(tmp_path, variants=ALONG, overrides=settings).config for settings in ({}, aimed)]
    assert configs[0] == configs[1]
    for stage in ("ingest", "graphs"):
        assert cache_key(STAGES[stage], configs[0], {}) == cache_key(STAGES[stage], configs[1], {})


def test_an_aimed_setting_changes_the_cache_keys_of_its_variant_alone(tmp_path):
    before, after = (plan(tmp_path, variants=ALONG, overrides=o).variants for o in ({}, {"small_kd:gat.dropout": 0.4}))
    changed = {
        (one.name, model)
        for one, other in zip(before, after, strict=True)
        for model, stage in (("vgae", "vgae"), ("gat", "gat"), ("fusion", "fusion"))
        if cache_key(STAGES[stage], one.configs[model], {}) != cache_key(STAGES[stage], other.configs[model], {})
    }
    assert changed == {("small_kd", "gat")}


def test_teacher_and_student_of_one_run_that_read_ids_differently_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"the large vgae of this run cannot teach the small one: identity"):
        plan(tmp_path, variants=ALONG, overrides={"large:identity.encoding": "hash"})


def test_an_unknown_dataset_or_setting_is_refused_by_a_plan_whatever_else_it_has(tmp_path):
    for make in (plan_pipeline, plan_evaluation):
        options = {"variants": ["large"], **({"models": ["vgae"]} if make is plan_pipeline else {})}
        with pytest.raises(ConfigError, match=r"^unknown dataset 'demmo'; .* Did you mean demo\?$"):
            make("demmo", Paths(tmp_path), **options)
        with pytest.raises(
            ConfigError, match=r"^small_kd:seed has no effect: small_kd is no part of this run, which has large$"
        ):
            make("demo", Paths(tmp_path), **options, overrides={"small_kd:seed": 1})


def test_a_mixed_variant_is_listed_by_both_names_to_who_aims_at_another(tmp_path):
    asked = {"variants": ALONG, "models": ["vgae", "gat"], "distillation": ["with-kd", "no-kd"]}
    with pytest.raises(ConfigError, match=r"which has large, small_kd_vgae, small_kd$"):
        plan(tmp_path, **asked, overrides={"tiny_kd:seed": 1})


def test_settings_with_parameters_of_their_own_give_way_to_those_by_name():
    resources = ResourcesConfig(memory_gb={"gat": 9.0}, max_attempts=2)
    own = {"seed": 3, "resources.memory_gb": {"gat": 9.0}, "resources.max_attempts": 2}
    assert all_settings(None, 3, resources) == own
    assert all_settings({"resources.memory_gb.gat": 1, "gat.hidden": 8}, 3, resources) == own | {
        "resources.memory_gb.gat": 1,
        "gat.hidden": 8,
    }
    assert all_settings({"seed": 4}, 3, None) == {"seed": 4}


def test_a_contradiction_says_what_the_variant_is(tmp_path):
    with pytest.raises(ConfigError) as refused:
        plan(tmp_path, variants=["large"], overrides={"auxiliary.name": "kd_standard"})
    assert str(refused.value) == (
        "auxiliary.name=kd_standard contradicts large, in which vgae is not distilled; say it by --distillation and "
        "--variants instead"
    )
    with pytest.raises(ConfigError, match=r"^auxiliary.name=none contradicts small_kd_gat, in which gat is distilled; say"):
        plan(tmp_path, variants=["large", "small_kd_gat"], overrides={"auxiliary.name": "none"})

"""What is evaluated: the newest models of each variant, and nothing is trained."""

import pytest
from trained import finished

from config import ConfigError
from config.paths import Paths
from tasks.plans.training import plan_evaluation


def trio(root, scale, auxiliary="none"):
    vgae, gat = finished(root, "vgae", scale, auxiliary), finished(root, "gat", scale, auxiliary)
    finished(root, "fusion", scale, inputs={"vgae": vgae.digest, "gat": gat.digest})
    return vgae, gat


def test_evaluation_without_models_is_an_error_that_says_how_to_train_them(tmp_path):
    with pytest.raises(ConfigError, match="kdgat run --dataset demo --variants large --modality automotive`"):
        plan_evaluation("demo", Paths(tmp_path), variants=["large"])
    with pytest.raises(ConfigError, match="kdgat run --dataset demo --variants large,small_kd,small_nokd,tiny_kd"):
        plan_evaluation("demo", Paths(tmp_path), variants=None)


def test_evaluation_takes_what_is_trained_and_names_the_rest(tmp_path):
    trio(tmp_path, "large")
    vgae, gat = trio(tmp_path, "small")
    planned = plan_evaluation("demo", Paths(tmp_path), variants=None)
    assert [variant.name for variant in planned.variants] == ["large", "small_nokd"]
    assert [planned.variants[1].earlier[model].path for model in ("vgae", "gat")] == [vgae.path, gat.path]
    assert planned.notes == (
        "not trained yet and left out: small_kd, tiny_kd; train with `kdgat run --dataset demo "
        "--variants small_kd,tiny_kd --modality automotive`",
    )


def test_a_variant_that_is_asked_for_and_not_trained_is_an_error(tmp_path):
    trio(tmp_path, "large")
    with pytest.raises(ConfigError, match="demo has no finished small_kd model"):
        plan_evaluation("demo", Paths(tmp_path), variants=["large", "small_kd"])


def test_a_mixed_run_is_evaluated_under_its_own_name_and_under_no_other(tmp_path):
    vgae, gat = finished(tmp_path, "vgae", "small", "kd_standard"), finished(tmp_path, "gat", "small")
    finished(tmp_path, "fusion", "small", inputs={"vgae": vgae.digest, "gat": gat.digest})
    by_default = plan_evaluation("demo", Paths(tmp_path), variants=None)
    assert [variant.name for variant in by_default.variants] == ["small_kd_vgae"]
    (named,) = plan_evaluation("demo", Paths(tmp_path), variants=["small_kd_vgae"]).variants
    assert [named.earlier[model].path for model in ("vgae", "gat")] == [vgae.path, gat.path]
    assert named.earlier["fusion"] is not None


def test_all_three_default_variants_are_evaluated_and_not_the_mixed_ones_that_share_their_models(tmp_path):
    for scale, auxiliary in (("large", "none"), ("small", "kd_standard"), ("small", "none")):
        trio(tmp_path, scale, auxiliary)
    planned = plan_evaluation("demo", Paths(tmp_path), variants=None)
    assert [variant.name for variant in planned.variants] == ["large", "small_kd", "small_nokd"]


def test_a_single_trained_model_is_evaluated(tmp_path):
    finished(tmp_path, "gat", "small")
    planned = plan_evaluation("demo", Paths(tmp_path), variants=None)
    assert [variant.name for variant in planned.variants] == ["small_nokd"]
    assert planned.variants[0].earlier["vgae"] is None


def test_evaluation_takes_the_newest_model_that_reads_these_graphs(tmp_path):
    wanted = finished(tmp_path, "vgae")
    finished(tmp_path, "vgae", method="published")
    (variant,) = plan_evaluation("demo", Paths(tmp_path), variants=["large"]).variants
    assert variant.earlier["vgae"].path == wanted.path


def test_settings_of_an_evaluation_can_be_aimed(tmp_path):
    trio(tmp_path, "large"), trio(tmp_path, "small")
    planned = plan_evaluation("demo", Paths(tmp_path), variants=None, overrides={"large:decision.rule": "fpr_0.01"})
    assert [variant.configs["fusion"].decision.rule for variant in planned.variants] == ["fpr_0.01", "f1"]
    with pytest.raises(ConfigError, match="a setting is aimed at small_kd, of which demo has no finished model"):
        plan_evaluation("demo", Paths(tmp_path), variants=None, overrides={"small_kd:decision.rule": "fpr_0.01"})


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (["medium"], "variant 'medium' is unknown or doubled; there are: large, small_kd"),
        (["large", "large"], "variant 'large' is unknown or doubled"),
        ([], "no variant is given"),
    ],
)
def test_variants_of_an_evaluation_are_known_and_each_stands_once(tmp_path, variants, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        plan_evaluation("demo", Paths(tmp_path), variants=variants)


def test_all_variants_that_are_asked_for_and_not_trained_are_named_with_the_command_that_trains_them(tmp_path):
    finished(tmp_path, "vgae")
    with pytest.raises(ConfigError) as refused:
        plan_evaluation("demo", Paths(tmp_path), variants=["large", "small_kd", "tiny_nokd"])
    assert str(refused.value) == (
        f"demo has no finished small_kd, tiny_nokd model in {tmp_path} that fits; "
        "train with `kdgat run --dataset demo --variants small_kd,tiny_nokd --modality automotive`"
    )


def test_an_evaluation_trains_nothing_and_needs_no_teachers(tmp_path):
    trio(tmp_path, "large")
    planned = plan_evaluation("demo", Paths(tmp_path), variants=["large"], overrides={"seed": 4, "large:seed": 5})
    (variant,) = planned.variants
    assert (planned.dataset, planned.notes, planned.config.seed) == ("demo", (), 4)
    assert (variant.name, variant.trains, variant.teachers, variant.configs["gat"].seed) == ("large", (), {}, 5)


def test_the_newest_of_several_models_that_fit_is_evaluated(tmp_path):
    finished(tmp_path, "gat")
    newest = [finished(tmp_path, "gat") for _ in range(2)][-1]
    (variant,) = plan_evaluation("demo", Paths(tmp_path), variants=["large"]).variants
    assert variant.earlier["gat"].path == newest.path


def test_a_fusion_of_other_models_is_not_that_of_a_variant(tmp_path):
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    finished(tmp_path, "fusion", inputs={"vgae": vgae.digest, "gat": "another"})
    finished(tmp_path, "fusion", inputs={"vgae": "another", "gat": gat.digest})
    finished(tmp_path, "fusion")
    (variant,) = plan_evaluation("demo", Paths(tmp_path), variants=["large"]).variants
    assert variant.earlier["fusion"] is None
    wanted = [finished(tmp_path, "fusion", inputs={"vgae": vgae.digest, "gat": gat.digest}) for _ in range(2)][-1]
    finished(tmp_path, "fusion")
    (variant,) = plan_evaluation("demo", Paths(tmp_path), variants=["large"]).variants
    assert variant.earlier["fusion"] == wanted


def test_a_basic_variant_with_a_model_of_its_own_is_trained_and_a_mixed_one_without_a_fusion_is_not(tmp_path):
    finished(tmp_path, "vgae", "small", "kd_standard")
    finished(tmp_path, "gat", "small")
    planned = plan_evaluation("demo", Paths(tmp_path), variants=None)
    assert [variant.name for variant in planned.variants] == ["small_kd", "small_nokd"]
    assert planned.notes[0].startswith("not trained yet and left out: large, tiny_kd; train with")


def test_variants_that_a_setting_is_aimed_at_in_vain_are_named_in_order(tmp_path):
    trio(tmp_path, "large")
    settings = {"tiny_kd:seed": 1, "large:seed": 1, "small_kd:seed": 1, "seed": 2}
    with pytest.raises(
        ConfigError, match=r"^a setting is aimed at small_kd, tiny_kd, of which demo has no finished model; train"
    ):
        plan_evaluation("demo", Paths(tmp_path), variants=None, overrides=settings)

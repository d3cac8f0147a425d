"""What the lists of variants, models and distillation mean together."""

import warnings

import pytest

from config import ConfigError
from config.variants import VARIANTS
from tasks.plans.distillation import check_names, choose, default_variants

ALL = ["vgae", "gat", "fusion"]

# --variants, --models, --distillation -> the variants that are made, each with what it was asked as if it has another name.
READINGS = [
    (None, "vgae,gat,fusion", None, "large small_kd small_nokd"),
    (None, "vgae,gat,fusion", "with-kd,with-kd,no-kd", "small_kd"),
    (None, "vgae,gat", "with-kd,no-kd", "small_kd_vgae:small_kd"),
    ("tiny_kd", "vgae,gat", "no-kd,with-kd", "tiny_kd_gat:tiny_kd"),
    ("tiny_kd,small_kd", "vgae,gat", "no-kd,no-kd", "small_nokd:small_kd tiny_nokd:tiny_kd"),
    ("large,small_kd", "gat", "with-kd", "large small_kd"),  # what is not listed is as what is
    ("large,small_kd", "gat", "no-kd", "large small_nokd:small_kd"),
    ("small_kd_vgae", "vgae,gat", "with-kd,no-kd", "small_kd_vgae"),
    ("small_kd_vgae", "vgae,gat", None, "small_kd_vgae"),
    ("small_kd_vgae", "fusion", "no-kd", "small_kd_vgae"),  # the list says nothing of what can be distilled
    ("small_kd", "fusion", "no-kd", "small_kd"),
    ("small_nokd,large", "vgae", "no-kd", "large small_nokd"),
]


@pytest.mark.parametrize(("variants", "models", "distillation", "made"), READINGS)
def test_three_lists_have_one_meaning(variants, models, distillation, made):
    with warnings.catch_warnings(action="error"):
        choice = choose(variants and variants.split(","), models.split(","), distillation and distillation.split(","))
    found = [each.variant.name + f":{each.asked_as}" * (each.asked_as != each.variant.name) for each in choice.variants]
    assert " ".join(found) == made
    assert choice.models == tuple(model for model in ALL if model in models.split(","))
    renamed = [each for each in choice.variants if each.asked_as != each.variant.name]
    assert choice.notes == tuple(
        f"{one.asked_as} with distillation {distillation} is called {one.variant.name}" for one in renamed
    )
    for each in choice.variants:
        assert each.variant is VARIANTS[each.variant.name]
        assert each.names == (each.variant.name, each.asked_as)


def test_a_variant_that_comes_out_twice_is_made_once():
    choice = choose(["small_kd", "small_nokd"], ["vgae"], ["no-kd"])
    assert [(each.variant.name, each.asked_as) for each in choice.variants] == [("small_nokd", "small_nokd")]


def test_what_is_distilled_is_what_is_trained_and_learns_from_a_teacher():
    assert choose(["large", "small_kd_gat"], ALL, None).distilled_models() == {"gat"}
    assert choose(["small_kd_vgae", "tiny_kd_gat"], ALL, None).distilled_models() == {"vgae", "gat"}
    assert choose(["small_kd"], ["vgae", "fusion"], None).distilled_models() == {"vgae"}
    assert choose(["small_nokd"], ALL, None).distilled_models() == set()


def test_the_default_is_the_student_alone_where_its_distillation_is_listed():
    assert default_variants(None) == ("large", "small_kd", "small_nokd")
    assert default_variants(["no-kd"]) == ("small_kd",)


def test_a_shorter_list_is_padded_with_one_warning_and_one_note():
    said = "distillation has 1 of 3 values; gat, fusion taken as no-kd"
    with pytest.warns(UserWarning, match="distillation has 1 of 3 values") as warned:
        choice = choose(["small_kd"], ALL, ["with-kd"])
    assert [str(one.message) for one in warned] == [said]
    assert choice.notes == (said, "small_kd with distillation with-kd,no-kd,no-kd is called small_kd_vgae")


FUSION = (
    "fusion + with-kd: fusion cannot be distilled: it learns from the states of its own base models, "
    "which a teacher's fusion has never seen."
)
NO_STUDENT = (
    "contradict each other: no model of {0} learns from a teacher. Write --variants small_kd (with large, if the teachers "
    "are not trained yet), or leave with-kd out"
)
REFUSED = [
    (["medium"], ALL, None, f"variant 'medium' is unknown or doubled; there are: {', '.join(VARIANTS)}"),
    (["large", "large", "tiny_kd"], ALL, None, f"variant 'large' is unknown or doubled; there are: {', '.join(VARIANTS)}"),
    ([], ALL, None, f"no variant is given; there are: {', '.join(VARIANTS)}"),
    (None, [], None, "no model is given; there are: vgae, gat, fusion"),
    (None, ["gat", "vgea", "gta"], None, "model 'vgea, gta' is unknown or doubled; there are: vgae, gat, fusion"),
    (None, ALL, [], "no distillation is given; there are: with-kd, no-kd, one for each of vgae,gat,fusion"),
    (
        None,
        ["vgae", "gat"],
        ["with-kd", "kd", "x"],
        "distillation 'kd, x' is unknown; there are: with-kd, no-kd, one for each of vgae,gat",
    ),
    (
        None,
        ["gat"],
        ["with-kd", "no-kd"],
        "2 values of distillation (with-kd,no-kd) for 1 models (gat); give one for each model, in the same order",
    ),
    (None, ["fusion"], ["with-kd"], f"job 1, {FUSION} Write --models fusion --distillation no-kd"),
    (
        None,
        ["gat", "fusion", "vgae"],
        ["no-kd", "with-kd", "with-kd"],
        f"job 2, {FUSION} The other jobs are fine as asked (gat no-kd, vgae with-kd). "
        "Write --models gat,fusion,vgae --distillation no-kd,no-kd,with-kd",
    ),
    (
        ["small_kd_vgae"],
        ["vgae"],
        ["with-kd"],
        "--variants small_kd_vgae and --distillation with-kd contradict each other: that is small_kd",
    ),
    (
        ["small_kd_vgae"],
        ["vgae", "gat"],
        ["no-kd", "no-kd"],
        "--variants small_kd_vgae and --distillation no-kd,no-kd contradict each other: that is small_nokd",
    ),
    (
        ["small_nokd", "large"],
        ["vgae", "gat"],
        ["with-kd", "no-kd"],
        f"--variants large,small_nokd and --distillation with-kd,no-kd {NO_STUDENT.format('large,small_nokd')}",
    ),
]


@pytest.mark.parametrize(("variants", "models", "distillation", "message"), REFUSED)
def test_lists_that_have_no_meaning_are_refused_with_what_was_given_and_what_there_is(variants, models, distillation, message):
    with pytest.raises(ConfigError) as refused:
        choose(variants, models, distillation)
    assert str(refused.value) == message


def test_names_that_are_given_more_than_twice_are_named_once():
    with pytest.raises(ConfigError, match=r"^colour 'red, blue' is unknown or doubled; there are: red, green, blue$"):
        check_names("colour", ["red", "blue", "red", "green", "red", "blue"], ("red", "green", "blue"))

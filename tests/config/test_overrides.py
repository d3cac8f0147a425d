"""Settings that are aimed at a variant, and what each scale's own file says."""

import re
import shutil
from typing import get_args

import pytest
import yaml

from config import ConfigError, resolve, resolver
from config.overrides import check_overrides, overrides_of, parse_overrides
from config.variants import DEFAULT_VARIANTS, MEANINGS, VARIANTS, VariantName, variant_of


def test_an_aimed_setting_holds_for_its_variant_alone_and_wins_there():
    given = parse_overrides(["small_kd:gat.hidden=8", "gat.hidden=16", "training.lr=0.1"], aimed=True)
    assert overrides_of(given, ["large"]) == {"gat.hidden": "16", "training.lr": "0.1"}
    assert overrides_of(given, ["small_kd"]) == {"gat.hidden": "8", "training.lr": "0.1"}
    assert resolve("gat", "small", "kd_standard", **overrides_of(given, ["small_kd"])).gat.hidden == 8
    assert resolve("gat", "large", "none", **overrides_of(given, ["large"])).gat.hidden == 16


def test_the_order_of_aimed_and_other_settings_does_not_matter():
    for given in (["small_kd:gat={heads: 2}", "gat.heads=8"], ["gat.heads=8", "small_kd:gat={heads: 2}"]):
        config = resolve("gat", "small", "none", **overrides_of(parse_overrides(given, aimed=True), ["small_kd"]))
        assert config.gat.heads == 2


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("smal_kd:gat.hidden=8", r"unknown variant 'smal_kd'.*there are: large, small_kd.*did you mean small_kd\?"),
        (":gat.hidden=8", f"^unknown variant '' in :gat.hidden; there are: {', '.join(VARIANTS)}$"),
        ("large:small_kd:gat.hidden=8", "unknown variant 'large:small_kd' in large:small_kd:gat.hidden;"),
        ("small_nokt:gat.hidden=8", r"; did you mean small_nokd\?$"),
        ("small_kd:gat.hiden=8", "did you mean gat.hidden"),
        ("small_kd:preprocessing.window_size=50", "preprocessing.window_size cannot be aimed at small_kd: all variants"),
        ("large:augmentation.copies=0", "cannot be aimed"),
        ("large:method=published", "cannot be aimed"),
        ("large:modality=industrial", "cannot be aimed"),
        ("large:preprocessing={}", "cannot be aimed"),
        ("scale=tiny", "what --variants is for"),
        ("dataset=demo", "what --dataset is for"),
        ("small_kd:model_type=gat", "what --models is for"),
    ],
)
def test_a_setting_that_cannot_be_aimed_is_refused_with_the_reason(assignment, message):
    with pytest.raises(ConfigError, match=message):
        parse_overrides([assignment], aimed=True)
    name, _, value = assignment.partition("=")
    with pytest.raises(ConfigError, match=message):
        check_overrides({name: value}, tuple(VARIANTS))


def test_commands_without_variants_refuse_aimed_settings():
    with pytest.raises(ConfigError, match="leave out small_kd:"):
        parse_overrides(["small_kd:gat.hidden=8"])


def test_a_setting_aimed_at_a_variant_that_is_not_run_is_an_error():
    check_overrides({"small_kd:gat.hidden": 8}, ["large", "small_kd"])
    with pytest.raises(ConfigError, match="small_kd is no part of this run, which has large"):
        check_overrides({"small_kd:gat.hidden": 8}, ["large"])


def test_a_name_ends_at_the_first_equals_sign_and_blanks_around_both_do_not_count():
    assert parse_overrides([" method = a=b ", "seed=1"]) == {"method": "a=b", "seed": "1"}
    assert parse_overrides(["small_kd:seed ="], aimed=True) == {"small_kd:seed": ""}
    with pytest.raises(ConfigError, match=r"^override 'seed' has no value; write it as name=value"):
        parse_overrides(["seed"])


def test_a_name_that_nothing_sets_is_an_error_whether_it_is_aimed_or_not():
    for name in ("gat.hiden", "large:gat.hiden"):
        with pytest.raises(ConfigError, match=r"unknown setting 'gat.hiden'; did you mean gat.hidden\?"):
            check_overrides({name: 8}, ["large"])


def test_the_variants_of_a_run_are_listed_for_one_that_is_not_of_it():
    check_overrides({"seed": 1, "large:seed": 2}, ["large", "tiny_kd"])
    with pytest.raises(ConfigError) as error:
        check_overrides({"large:seed": 2, "small_kd:seed": 3}, ["large", "tiny_kd"])
    assert str(error.value) == "small_kd:seed has no effect: small_kd is no part of this run, which has large, tiny_kd"


def test_a_variant_that_is_known_by_two_names_has_the_settings_of_both_and_of_all():
    given = {"seed": 1, "a:seed": 2, "b:method": "x", "c:modality": "y", "dataset": "z"}
    assert overrides_of(given, ["a", "b"]) == {"seed": 2, "method": "x", "dataset": "z"}
    assert overrides_of(given, ["c"]) == {"seed": 1, "modality": "y", "dataset": "z"}
    assert overrides_of(given, ()) == {"seed": 1, "dataset": "z"}


def test_a_setting_that_is_given_twice_is_an_error():
    with pytest.raises(ConfigError, match=r"training.lr is set twice, to '1' and to '2'"):
        parse_overrides(["training.lr=1", "training.lr=2"])


def test_model_and_scale_are_no_overrides():
    with pytest.raises(ConfigError, match="gat large is what was asked for"):
        resolve("gat", "large", **{"scale": "tiny"})


def test_each_variant_is_known_by_its_scale_and_what_is_distilled():
    assert set(VARIANTS) == set(get_args(VariantName))
    for variant in VARIANTS.values():
        assert variant_of(variant.scale, variant.distilled) is variant
        assert variant.name.partition("_")[0] == variant.scale
    assert set(re.findall(r"\b(?:large|small|tiny)\w*", MEANINGS)) == set(VARIANTS)
    assert re.fullmatch(r"(?:\w[\w, ]+ \([\w ]+\)(?:; |, |$))+", MEANINGS), "each is followed by what it means"
    assert next(iter(VARIANTS)) == "large", "students come after those who may teach them"
    assert set(DEFAULT_VARIANTS) <= set(VARIANTS)


def test_an_unknown_feature_schema_is_no_config():
    with pytest.raises(ConfigError, match=r"preprocessing.feature_schema = 'realtive'.*Did you mean relative"):
        resolve("gat", "large", **{"preprocessing.feature_schema": "realtive"})


RATES = {  # by method: of vgae, gat, fusion, each large, small, tiny
    "relative": {"vgae": (0.002,) * 3, "gat": (0.002,) * 3, "fusion": (0.002,) * 3},
    "published": {"vgae": (0.002,) * 3, "gat": (0.003, 0.001, 0.001), "fusion": (0.001,) * 3},
}


@pytest.mark.parametrize("method", RATES)
def test_the_learning_rates_of_both_methods(method):
    for model, rates in RATES[method].items():
        found = tuple(resolve(model, scale, method=method).training.lr for scale in ("large", "small", "tiny"))
        assert found == rates, model


@pytest.fixture
def settings_files(tmp_path, monkeypatch):
    """A copy of the YAML files that may be changed."""
    shutil.copytree(resolver.FOLDER, tmp_path / "config")
    monkeypatch.setattr(resolver, "FOLDER", tmp_path / "config")
    return tmp_path / "config"


def test_the_rate_in_a_scales_own_file_is_that_of_the_default_method(settings_files):
    for model in ("vgae", "gat", "fusion"):
        for scale in ("large", "small", "tiny"):
            file = settings_files / "models" / model / f"{scale}.yaml"
            settings = yaml.safe_load(file.read_text())
            settings["training"]["lr"] = 0.125
            before = resolve(model, scale).training.lr
            file.write_text(yaml.safe_dump(settings))
            assert (before, resolve(model, scale).training.lr) == (0.002, 0.125)


def test_a_method_may_differ_for_one_model_and_scale(settings_files):
    file = settings_files / "methods" / "relative.yaml"
    file.write_text(file.read_text() + "models: {gat: {tiny: {training: {lr: 0.25}}}}\n")
    rates = {scale: resolve("gat", scale).training.lr for scale in ("large", "small", "tiny")}
    assert rates == {"large": 0.002, "small": 0.002, "tiny": 0.25}


def test_memory_is_given_to_stages_that_there_are_and_to_those_that_are_inserted():
    inserted = {"pipeline.insert": "after:graphs:my_package.checks:ClassBalance", "resources.memory_gb.ClassBalance": 9}
    assert resolve("gat", "large", **inserted).resources.memory_gb == {"ClassBalance": 9}
    with pytest.raises(ConfigError, match=r"no stage 'ClassBalance'; there are: ingest, .*ablation") as refused:
        resolve("gat", "large", **{"resources.memory_gb.ClassBalance": 9})
    assert "'model_type'" not in str(refused.value), "the whole config is no help"
    with pytest.raises(ConfigError, match=r"Did you mean gat\?"):
        resolve("gat", "large", **{"resources.memory_gb.gta": 9})


def test_a_protocol_is_chosen_by_its_option():
    with pytest.raises(ConfigError, match="protocol cannot be set: that is what --protocol of evaluate and ablate is for"):
        parse_overrides(["protocol=official"])

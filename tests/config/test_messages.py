"""What a wrong name or value is told, word for word: what was given, what there is, and what is nearest."""

import pytest

from config import ConfigError, resolve
from config.resolver import check_key, describe_errors, list_auxiliaries, list_methods, list_models, merged, validated
from config.schema import PipelineConfig
from config.sections import TrainingConfig


def message(function, *arguments, **options):
    with pytest.raises(ConfigError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_an_unknown_model_scale_auxiliary_or_method():
    assert message(resolve, "vgea", "large") == "unknown model 'vgea'; there are: fusion, gat, vgae; did you mean vgae?"
    scales = "there are: large, small, tiny"
    assert message(resolve, "gat", "smal") == f"unknown scale of gat 'smal'; {scales}; did you mean small?"
    assert message(resolve, "gat", "xyz") == f"unknown scale of gat 'xyz'; {scales}"
    auxiliaries = "there are: kd_standard, none"
    assert message(resolve, "gat", "large", "kd") == f"unknown auxiliary 'kd'; {auxiliaries}"
    assert message(resolve, "gat", "large", "kd_standart") == (
        f"unknown auxiliary 'kd_standart'; {auxiliaries}; did you mean kd_standard?"
    )
    assert message(resolve, "gat", "large", method="relativ") == (
        "unknown method 'relativ'; there are: published, relative; did you mean relative?"
    )


def test_an_unknown_key():
    assert message(check_key, "trainig.lr") == "unknown setting 'trainig.lr'; did you mean training.lr?"
    # the last part alone is a field: of the first section that has it, also if the section is quite another
    assert message(check_key, "lr") == "unknown setting 'lr'; did you mean training.lr?"
    assert message(check_key, "gat.seed") == "unknown setting 'gat.seed'; did you mean seed?"
    assert message(check_key, "a.b.window_size") == "unknown setting 'a.b.window_size'; did you mean preprocessing.window_size?"
    sections = ", ".join(PipelineConfig.model_fields)
    assert message(check_key, "0000") == f"unknown setting '0000'; there are: {sections}"


@pytest.mark.parametrize("known", ["seed", "training", "training.lr", "vgae.hidden"])
def test_names_of_settings_and_of_sections_are_known(known):
    check_key(known)


def test_keys_are_checked_at_every_depth_before_values_are():
    assert (
        message(validated, {"training": {"lr": 0.1, "lrr": 1}}) == "unknown setting 'training.lrr'; did you mean training.lr?"
    )
    assert message(validated, {"sede": 1, "training": {"lr": "fast"}}) == "unknown setting 'sede'; did you mean seed?"


def test_wrong_values_have_a_line_each():
    text = message(validated, {"training": {"lr": "fast"}, "gat": {"heads": 0}})
    lines = text.splitlines()
    assert lines[0] == "the config is not valid:"
    assert lines[1].startswith("  training.lr = 'fast': ")
    assert lines[2].startswith("  gat.heads = 0: ")
    assert len(lines) == 3
    assert "did you mean" not in text


def errors_of(model, values):
    with pytest.raises(ValueError, match="validation error") as error:
        model.model_validate(values)
    return describe_errors(error.value, model).splitlines()


def test_a_field_too_many_is_told_the_nearest_and_others_are_not():
    assert errors_of(TrainingConfig, {"patiense": 3}) == [
        "  patiense = 3: Extra inputs are not permitted; did you mean patience?"
    ]
    assert errors_of(TrainingConfig, {"0000": 3}) == ["  0000 = 3: Extra inputs are not permitted"]
    (wrong,) = errors_of(TrainingConfig, {"patience": "x"})
    assert wrong.startswith("  patience = 'x': ")
    assert "did you mean" not in wrong


def test_a_wrong_name_is_told_the_nearest_of_several_that_are_near():
    assert (
        message(check_key, "training.batch_shape")
        == "unknown setting 'training.batch_shape'; did you mean training.batch_share?"
    )
    assert (
        message(resolve, "gat", "large", **{"gat.fc_layer": 1}) == "unknown setting 'gat.fc_layer'; did you mean gat.fc_layers?"
    )


def test_model_and_scale_are_arguments_and_no_settings():
    said = "cannot be overridden: gat large is what was asked for"
    assert message(resolve, "gat", "large", scale="tiny") == f"scale {said}"
    assert message(resolve, "gat", "large", scale="large", model_type="gat") == f"model_type and scale {said}"


def test_lists_are_sorted_and_hold_what_there_are_files_for():
    assert list_models() == {model: ["large", "small", "tiny"] for model in ("fusion", "gat", "vgae")}
    assert list(list_models()) == ["fusion", "gat", "vgae"]
    assert list_auxiliaries() == ["kd_standard", "none"]
    assert list_methods() == ["published", "relative"]


def test_sections_are_merged_and_everything_else_is_replaced():
    base = {"a": {"x": 1, "y": {"p": 1}}, "b": [1, 2], "c": 3}
    update = {"a": {"y": {"q": 2}}, "b": [3], "c": {"z": 1}, "d": 4}
    assert merged(base, update) == {"a": {"x": 1, "y": {"p": 1, "q": 2}}, "b": [3], "c": {"z": 1}, "d": 4}
    assert merged({"a": {"x": 1}}, {"a": 2}) == {"a": 2}
    assert base == {"a": {"x": 1, "y": {"p": 1}}, "b": [1, 2], "c": 3}


def test_the_older_name_of_the_memory_of_a_stage():
    assert (
        message(check_key, "resources.vgae_gb") == "unknown setting 'resources.vgae_gb'; did you mean resources.memory_gb.vgae?"
    )

"""Every name that an older version wrote, the field that it stands for today, and a value that is not that field's default."""

import pytest

from config.errors import ConfigError
from config.legacy import RENAMED, RENAMED_TRAINING, TOP_LEVEL, is_legacy, migrate
from config.resolver import config_keys
from config.schema import PipelineConfig

OF_VGAE = [
    ("vgae_hidden_dims", [90, 50, 20], "vgae.hidden"),
    ("vgae_num_heads", 3, "vgae.heads"),
    ("vgae_heads", 3, "vgae.heads"),
    ("vgae_embedding_dim", 5, "vgae.embedding_dim"),
    ("vgae_dropout", 0.35, "vgae.dropout"),
    ("vgae_lr", 0.25, "training.lr"),
    ("vgae_learning_rate", 0.25, "training.lr"),
    ("vgae_epochs", 17, "training.max_epochs"),
]
OF_GAT = [
    ("gat_hidden_channels", 12, "gat.hidden"),
    ("gat_hidden", 12, "gat.hidden"),
    ("gat_num_layers", 5, "gat.layers"),
    ("gat_num_heads", 3, "gat.heads"),
    ("gat_num_fc_layers", 4, "gat.fc_layers"),
    ("gat_conv_type", "gatv2", "gat.conv"),
    ("gat_lr", 0.25, "training.lr"),
    ("gat_gradient_clip_val", 0.75, "training.gradient_clip"),
    ("gat_use_amp", False, "training.amp"),
]
OF_DQN = [
    ("dqn_hidden_dim", 33, "dqn.hidden"),
    ("dqn_num_layers", 4, "dqn.layers"),
    ("dqn_buffer_size", 777, "dqn.replay_size"),
    ("dqn_target_update", 55, "dqn.target_sync"),
    ("dqn_epsilon", 0.9, "dqn.epsilon_start"),
    ("dqn_min_epsilon", 0.02, "dqn.epsilon_end"),
    ("dqn_gamma", 0.75, "dqn.gamma"),
    ("dqn_batch_size", 99, "dqn.batch_size"),
]
OF_ALL = [
    ("kd_temperature", 3.0, "auxiliary.temperature"),
    ("kd_alpha", 0.6, "auxiliary.alpha"),
    ("kd_vgae_latent_weight", 0.25, "auxiliary.latent_weight"),
    ("kd_vgae_recon_weight", 0.25, "auxiliary.reconstruction_weight"),
    ("fusion_method", "mlp", "fusion.method"),
    ("fusion_episodes", 44, "fusion.max_epochs"),
    ("fusion_max_epochs", 44, "fusion.max_epochs"),
    ("learning_rate", 0.25, "training.lr"),
    ("lr", 0.25, "training.lr"),
    ("epochs", 17, "training.max_epochs"),
    ("max_epochs", 17, "training.max_epochs"),
    ("gradient_clip_val", 0.75, "training.gradient_clip"),
    ("use_amp", False, "training.amp"),
    ("window_size", 50, "preprocessing.window_size"),
    ("stride", 25, "preprocessing.stride"),
    ("ratio_end", 3.0, "curriculum.ratio_end"),
    ("dataset", "set_01", "dataset"),
    ("modality", "industrial", "modality"),
    ("seed", 7, "seed"),
    ("scale", "tiny", "scale"),
    ("model_size", "tiny", "scale"),
]
NAMES = [("vgae", *case) for case in OF_VGAE] + [("gat", *case) for case in OF_GAT] + [("fusion", *case) for case in OF_DQN]
NAMES += [("gat", *case) for case in OF_ALL]


def flat(sections, prefix=""):
    values = {}
    for name, value in sections.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return values


@pytest.mark.parametrize(("model", "old", "value", "new"), NAMES)
def test_an_older_name_sets_this_field_and_no_other(model, old, value, new):
    assert flat(migrate({"model": model, old: value})) == {"model_type": model, new: value}


def test_the_names_above_are_all_that_were_ever_renamed():
    renamed = {new for _, _, _, new in NAMES} | {"model_type"}
    assert (
        set(RENAMED.values()) | {f"training.{name}" for name in RENAMED_TRAINING.values()} | set(TOP_LEVEL.values()) <= renamed
    )
    assert renamed <= set(config_keys(PipelineConfig))


@pytest.mark.parametrize(
    ("old", "new"), [("teacher", "large"), ("student", "small"), ("large", "large"), ("small", "small"), ("tiny", "tiny")]
)
def test_scales_have_their_older_names(old, new):
    assert migrate({"model_size": old}) == {"scale": new}
    assert migrate({"scale": old}) == {"scale": new}


@pytest.mark.parametrize("name", ["model", "model_type"])
def test_a_rate_belongs_to_the_model_that_the_config_is_of(name):
    values = {"vgae_lr": 0.1, "gat_lr": 0.2, "dqn_lr": 0.3}
    for model, rate in (("vgae", 0.1), ("gat", 0.2), ("fusion", 0.3)):
        with pytest.warns(UserWarning, match=f"belongs to another model than '{model}' and is left out") as said:
            assert migrate({name: model, **values}) == {"model_type": model, "training": {"lr": rate}}
        assert len(said) == 2


def test_a_config_that_names_no_model_is_an_autoencoders():
    assert migrate({"vgae_lr": 0.1}) == {"training": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("values", "hidden"),
    [
        ({"vgae_latent_dim": 16}, [480, 240, 16]),  # the first two as they are by default
        ({"vgae_hidden_dims": [80, 40], "vgae_latent_dim": 16}, [80, 40, 16]),
        ({"vgae_hidden_dims": [80, 40, 20], "vgae_latent_dim": 16}, [80, 40, 16]),
        ({"vgae_hidden_dims": [80, 40, 20]}, [80, 40, 20]),
    ],
)
def test_the_latent_width_is_the_last_of_the_hidden_ones(values, hidden):
    assert migrate(values) == {"vgae": {"hidden": hidden}}


def test_a_latent_width_leaves_the_rest_of_the_autoencoder_alone():
    migrated = migrate({"vgae_latent_dim": 16, "vgae_hidden_dims": [80, 40], "vgae_heads": 3, "seed": 1})
    assert migrated == {"vgae": {"hidden": [80, 40, 16], "heads": 3}, "seed": 1}


@pytest.mark.parametrize(("use", "expected"), [(True, {"auxiliary": {"name": "kd_standard"}}), (False, {})])
def test_distillation_was_a_switch(use, expected):
    assert migrate({"use_kd": use}) == expected
    assert flat(migrate({"use_kd": use, "kd_alpha": 0.6})) == flat(expected) | {"auxiliary.alpha": 0.6}


def test_the_name_of_a_section_is_no_older_name():
    assert migrate({"gat": 8, "lr": 0.1}) == {"gat": 8, "training": {"lr": 0.1}}
    with pytest.raises(ConfigError, match=r"unknown setting 'gat_'"):
        migrate({"gat_": 8})


@pytest.mark.parametrize("prefix", ["kd", "fusion"])
def test_only_models_have_settings_of_training_below_their_name(prefix):
    with pytest.raises(ConfigError, match="unknown setting"):
        migrate({f"{prefix}_gradient_clip": 3})


def test_a_figure_that_a_model_has_itself_is_not_that_of_the_training():
    assert migrate({"model": "dqn", "dqn_batch_size": 8, "dqn_patience": 3}) == {
        "model_type": "fusion",
        "dqn": {"batch_size": 8},
        "training": {"patience": 3},
    }


def test_settings_of_another_model_are_left_out_and_those_after_them_are_not():
    with pytest.warns(UserWarning, match="legacy setting 'vgae_patience' belongs to another model than 'gat'"):
        assert migrate({"model": "gat", "vgae_patience": 3, "gat_hidden": 8}) == {"model_type": "gat", "gat": {"hidden": 8}}


@pytest.mark.parametrize(
    ("values", "legacy"),
    [
        ({"gat_hidden": 8}, True),
        ({"lr": 0.1, "seed": 1}, True),
        ({"seed": 1}, False),
        ({}, False),
        ({"model_type": "gat", "scale": "small"}, False),
        ({"gat": {"hidden": 8}}, False),
        ({"gat": {"hidden": 8}, "sped": 1}, False),  # a misspelt key of today
    ],
)
def test_a_config_is_of_an_older_version_if_it_is_flat_and_a_name_is_not_todays(values, legacy):
    assert is_legacy(values) == legacy


def test_what_is_migrated_is_left_as_it_was():
    values = {"use_kd": True, "vgae_latent_dim": 16, "gat_hidden": 8}
    migrate(values)
    assert values == {"use_kd": True, "vgae_latent_dim": 16, "gat_hidden": 8}

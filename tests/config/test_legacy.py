import json

import pytest

from config import ConfigError, resolve
from config.files import current_values, load_config
from kdgat_models.files import write_json

FLAT = {
    "dataset": "hcrl_sa",
    "model": "gat",
    "model_size": "student",
    "vgae_hidden_dims": [80, 40],
    "vgae_latent_dim": 16,
    "vgae_heads": 1,
    "vgae_embedding_dim": 4,
    "gat_hidden": 24,
    "gat_layers": 2,
    "gat_heads": 4,
    "gat_fc_layers": 2,
    "gat_lr": 0.005,
    "dqn_hidden": 160,
    "dqn_buffer_size": 50000,
    "use_kd": True,
    "kd_temperature": 3.0,
    "kd_alpha": 0.6,
    "fusion_method": "mlp",
    "window_size": 50,
    "max_epochs": 7,
}


@pytest.fixture
def load(tmp_path):
    def load(values):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(values))
        return load_config(path)

    return load


def test_a_flat_config_migrates_into_sections(load):
    config = load(FLAT)
    assert (config.model_type, config.scale, config.dataset) == ("gat", "small", "hcrl_sa")
    assert config.vgae.hidden == (80, 40, 16)
    assert (config.auxiliary.name, config.auxiliary.temperature, config.auxiliary.alpha) == ("kd_standard", 3.0, 0.6)
    assert (config.dqn.replay_size, config.fusion.method) == (50000, "mlp")
    assert (config.preprocessing.window_size, config.training.max_epochs, config.training.lr) == (50, 7, 0.005)


def test_a_config_of_before_there_were_methods_is_the_published_one(load):
    migrated, sections = load(FLAT), load({"model_type": "gat", "scale": "small", "gat": {"hidden": 12, "conv": "gatv2"}})
    published = resolve("gat", "small", method="published")
    for config in (migrated, sections):
        assert config.method == "published"
        for section in ("identity", "augmentation", "loss", "curriculum"):
            assert getattr(config, section) == getattr(published, section)
        assert config.preprocessing.feature_schema == "reference"
        assert (config.gat.pooling, config.gat.node_head, config.vgae.score) == ("mean", False, "mean")
    assert (migrated.gat.conv, sections.gat.conv, sections.gat.hidden) == ("gat", "gatv2", 12)


def test_teacher_is_large(load):
    assert load({"model": "vgae", "model_size": "teacher"}).scale == "large"


def test_a_migrated_config_survives_the_round_trip(load, tmp_path):
    config = load(FLAT)
    write_json(tmp_path / "new.json", config.model_dump(mode="json"))
    assert load_config(tmp_path / "new.json") == config


def test_a_current_config_survives_the_round_trip(tmp_path):
    config = resolve("vgae", "small", "kd_standard", **{"training.lr": 0.5})
    write_json(tmp_path / "config.json", config.model_dump(mode="json"))
    assert load_config(tmp_path / "config.json") == config


def test_a_setting_of_another_model_is_left_out_with_a_warning(load):
    with pytest.warns(UserWarning, match="vgae_lr"):
        assert load({"model": "gat", "vgae_lr": 0.1, "gat_lr": 0.2}).training.lr == 0.2


@pytest.mark.parametrize("key", ["gat_hiddden", "speed"])
def test_an_unknown_legacy_key_is_an_error(load, key):
    with pytest.raises(ConfigError, match="unknown setting"):
        load({"model": "gat", key: 1})


def test_a_file_that_is_not_json_is_an_error(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ConfigError, match="not a JSON config"):
        load_config(tmp_path / "x.json")


def test_the_memory_of_stages_in_settings_of_their_own_is_read_as_one_mapping():
    values = {"resources": {"vgae_gb": 7.0, "gat_gb": 5.0, "cap_gb": 9.0}, "method": "relative"}
    found = current_values(values)["resources"]
    assert (found["memory_gb"], found["cap_gb"]) == ({"vgae": 7.0, "gat": 5.0}, 9.0)
    now = {"resources": {"memory_gb": {"vgae": 7.0}}, "method": "relative"}
    assert current_values(now)["resources"]["memory_gb"] == {"vgae": 7.0}


def test_the_fusion_is_known_by_its_older_name(tmp_path):
    resolved = resolve("fusion", "small").model_dump(mode="json")
    (tmp_path / "config.json").write_text(json.dumps(resolved | {"model_type": "dqn"}))
    assert load_config(tmp_path / "config.json") == resolve("fusion", "small")


@pytest.mark.parametrize(("hidden", "latent"), [("82", 16), (80, 16), ([80, 40], "wide")])
def test_a_width_that_is_none_is_refused_and_not_guessed(load, hidden, latent):
    with pytest.raises(ConfigError, match=r"vgae\.hidden"):
        load({"model": "vgae", "vgae_hidden_dims": hidden, "vgae_latent_dim": latent})

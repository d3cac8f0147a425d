import pytest

from config import ConfigError, list_auxiliaries, list_models, resolve
from config.overrides import parse_overrides
from config.resolver import config_keys, list_methods
from config.schema import PipelineConfig

EXPECTED = {
    ("vgae", "large"): {"hidden": (480, 240, 48), "heads": 4, "embedding_dim": 32, "dropout": 0.15},
    ("vgae", "small"): {"hidden": (80, 40, 16), "heads": 1, "embedding_dim": 4, "dropout": 0.1},
    ("gat", "large"): {"hidden": 48, "layers": 3, "heads": 8, "embedding_dim": 16, "fc_layers": 1, "dropout": 0.2},
    ("gat", "small"): {"hidden": 24, "layers": 2, "heads": 4, "embedding_dim": 8, "fc_layers": 2, "dropout": 0.1},
    ("fusion", "large"): {"hidden": 576, "layers": 3, "replay_size": 100_000, "batch_size": 128, "target_sync": 100},
    ("fusion", "small"): {"hidden": 160, "layers": 2, "replay_size": 50_000, "batch_size": 64, "target_sync": 50},
}
LEARNING_RATES = {
    "vgae": {"large": 0.002, "small": 0.002},
    "gat": {"large": 0.003, "small": 0.001},
    "fusion": {"large": 0.001, "small": 0.001},
}


@pytest.mark.parametrize(("model", "scale"), EXPECTED)
def test_each_model_and_scale_has_the_published_settings(model, scale):
    config = resolve(model, scale, method="published")
    section = getattr(config, "dqn" if model == "fusion" else model).model_dump()
    assert {name: section[name] for name in EXPECTED[model, scale]} == EXPECTED[model, scale]
    assert config.training.lr == LEARNING_RATES[model][scale]


@pytest.mark.parametrize("method", list_methods())
def test_every_listed_model_and_auxiliary_resolves(method):
    for model, scales in list_models().items():
        for scale in scales:
            for auxiliary in list_auxiliaries():
                config = resolve(model, scale, auxiliary, method=method)
                found = (config.model_type, config.scale, config.auxiliary.name, config.method)
                assert found == (model, scale, auxiliary, method)


def test_the_published_method_is_another_than_the_default():
    default, published = resolve("gat", "large"), resolve("gat", "large", method="published")
    assert (default.method, default.preprocessing.feature_schema, default.identity.encoding) == ("relative", "relative", "none")
    assert (published.preprocessing.feature_schema, published.identity.encoding) == ("reference", "lookup")
    assert (published.gat.conv, published.gat.pooling, published.gat.node_head) == ("gat", "mean", False)
    assert (published.curriculum.sampling, published.augmentation.copies, published.vgae.score) == ("curriculum", 0, "mean")


def test_kd_standard_has_temperature_4_and_alpha_point_7():
    auxiliary = resolve("gat", "small", "kd_standard").auxiliary
    assert (auxiliary.temperature, auxiliary.alpha, auxiliary.latent_weight) == (4.0, 0.7, 0.5)


def test_overrides_win_over_the_model_file_and_are_typed():
    config = resolve("vgae", "small", **{"training.lr": "1e-3", "vgae.hidden": "[40, 20, 8]", "vgae": {"dropout": 0.3}})
    assert config.training.lr == 0.001
    assert config.vgae.hidden == (40, 20, 8)
    assert config.vgae.dropout == 0.3
    assert config.vgae.embedding_dim == 4
    assert resolve("gat", "large", method="published", **{"gat.conv": "gatv2"}).gat.conv == "gatv2"


@pytest.mark.parametrize(
    ("key", "nearest"), [("trainig.lr", "training.lr"), ("lr", "training.lr"), ("gat.head", "gat.heads"), ("sede", "seed")]
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(key, nearest):
    with pytest.raises(ConfigError, match=f"did you mean {nearest}"):
        resolve("gat", "small", **{key: 1})


def test_an_unknown_key_deep_in_a_section_is_an_error():
    with pytest.raises(ConfigError, match=r"training\.lr"):
        resolve("gat", "small", training={"lrr": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [("training.lr", "fast"), ("training.lr", -1), ("vgae.hidden", "[1, 2]"), ("gat.conv", "gcn"), ("vgae.heads", 7)],
)
def test_a_wrong_value_is_an_error_that_names_the_field(key, value):
    with pytest.raises(ConfigError, match=key.split(".")[0]):
        resolve("gat", "large", **{key: value})


@pytest.mark.parametrize("given", [("vgea", "large"), ("vgae", "huge")])
def test_an_unknown_model_or_scale_lists_what_there_is(given):
    with pytest.raises(ConfigError, match="there are: "):
        resolve(*given)


def test_an_unknown_method_lists_what_there_is():
    with pytest.raises(ConfigError, match="there are: published, relative; did you mean published"):
        resolve("gat", "large", method="publishd")


def test_an_override_without_a_value_says_how_to_write_it():
    with pytest.raises(ConfigError, match="name=value"):
        parse_overrides(["training.lr"])


def test_configs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        resolve("gat", "large").seed = 3


def test_every_key_that_exists_can_be_overridden_with_its_own_value():
    config = resolve("vgae", "large")
    for key in set(config_keys(PipelineConfig)) - {"model_type", "scale"}:  # those are arguments of their own
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        value = value.model_dump() if hasattr(value, "model_dump") else value
        assert resolve("vgae", "large", **{key: value}) == config


@pytest.mark.parametrize(
    ("model", "setting", "value"),
    [
        ("gat", "gat.hidden", 10**9),
        ("gat", "gat.layers", 10**9),
        ("gat", "gat.heads", 256),  # times 256 wide
        ("vgae", "vgae.hidden", [10**9, 240, 48]),
        ("vgae", "vgae.embedding_dim", 10**9),
        ("fusion", "dqn.hidden", 10**9),
        ("fusion", "dqn.actions", 10**9),
        ("fusion", "dqn.replay_size", 10**12),
        ("vgae", "identity.buckets", 10**9),
        ("vgae", "augmentation.copies", 10**9),
        ("vgae", "training.max_epochs", 10**12),
        ("vgae", "seed", 10**30),
        ("vgae", "training.lr", float("inf")),
        ("vgae", "vgae.kl_weight", float("nan")),
    ],
)
def test_a_size_or_number_that_no_machine_can_hold_is_a_config_error(model, setting, value):
    more = {"gat.hidden": 256} if setting == "gat.heads" else {}
    with pytest.raises(ConfigError, match=setting.rsplit(".", 1)[-1]):
        resolve(model, "large", **{setting: value, **more})

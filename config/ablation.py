"""The ablation: which choices of the default method are varied, one at a time, and how.

A level is overrides by dotted name. The first level of each factor is the base: it spells out the default. The levels of
`fusion` but the base are no other classifiers: they fuse the base's with an autoencoder.
"""

from collections.abc import Sequence

from config.errors import ConfigError
from config.settings import Settings

Level = Settings

BASE = "base"  # name of the run that all factors share
FACTORS: dict[str, dict[str, Level]] = {
    "convolution": {
        "transformer": {"gat.conv": "transformer"},
        "gatv2": {"gat.conv": "gatv2"},
        "gat": {"gat.conv": "gat"},
    },
    "loss": {
        "cross_entropy": {"loss.name": "cross_entropy"},
        "weighted": {"loss.name": "weighted"},
        "focal": {"loss.name": "focal"},
    },
    "sampling": {
        "balanced": {"curriculum.sampling": "balanced"},
        "normal": {"curriculum.sampling": "normal"},
        # The method trains for four epochs; a curriculum of six would never be through.
        "curriculum": {"curriculum.sampling": "curriculum", "curriculum.epochs": 3},
        "hard_undersample": {"curriculum.sampling": "hard_undersample"},
    },
    "id_encoding": {
        "none": {"identity.encoding": "none"},
        "hash": {"identity.encoding": "hash"},
        "lookup": {"identity.encoding": "lookup"},
    },
    "schema": {
        "relative": {"preprocessing.feature_schema": "relative"},
        "reference": {"preprocessing.feature_schema": "reference"},
    },
    "pooling": {
        "mean_max": {"gat.pooling": "mean_max"},
        "mean": {"gat.pooling": "mean"},
        "max": {"gat.pooling": "max"},
        "attention": {"gat.pooling": "attention"},
    },
    "node_head": {
        "on": {"gat.node_head": True},
        "off": {"gat.node_head": False},
    },
    "augmentation": {
        "2 copies": {"augmentation.copies": 2},
        "no copies": {"augmentation.copies": 0},
    },
    "fusion": {
        "none": {},
        "dqn": {"fusion.method": "dqn"},
        "mlp": {"fusion.method": "mlp"},
        "weighted_avg": {"fusion.method": "weighted_avg"},
    },
    "distillation": {
        "no-kd": {"auxiliary.name": "none"},
        "with-kd": {"auxiliary.name": "kd_standard"},
    },
}


def base_level(factor: str) -> str:
    """The level that the default method has."""
    return next(iter(FACTORS[factor]))


def fuses(level: Level) -> bool:
    """Whether a level is a fusion, not another classifier."""
    return "fusion.method" in level


def run_name(factor: str, level: str) -> str:
    """What the runs of a level are called. The base levels of all factors are one and the same."""
    return BASE if level == base_level(factor) else f"{factor}={level}"


def chosen_factors(names: Sequence[str] | None) -> tuple[str, ...]:
    """The factors called `names`, or all, in the order in which they stand here.

    Raises:
        ConfigError: a name is unknown, or there is none.
    """
    asked = tuple(FACTORS) if names is None else tuple(names)
    unknown = [name for name in asked if name not in FACTORS]
    if unknown or not asked:
        raise ConfigError(f"unknown factor {', '.join(unknown)!r}; there are: {', '.join(FACTORS)}")
    return tuple(name for name in FACTORS if name in asked)

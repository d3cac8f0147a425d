"""Folds of a protocol as artifacts that training stages read."""

import pytest

from config.catalog import dataset_entry
from config.errors import ConfigError
from config.paths import Paths
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from tasks.plans.ablation import plan_ablation
from tasks.plans.protocol import fold_artifact, plan_protocol


def test_synthetic_attacks_are_learnt_from_but_where_one_must_stay_unknown(demo_graphs, tmp_path):
    names = [capture.name for capture in GraphDataset(demo_graphs.path).train.captures if capture.recorded]
    fold = Fold("fuzzing", tuple(names[1:]), tuple(names[:1]), {})
    learnt = {}
    for protocol in ("leave-one-vehicle-out", "leave-one-attack-out"):
        store = GraphDataset(fold_artifact(protocol, fold, demo_graphs, Paths(tmp_path)).path).train
        learnt[protocol] = {store.captures[number].name for number in store.capture[store.windows(TRAIN)]}
        assert names[0] not in {name.split("#")[0] for name in learnt[protocol]}
    assert learnt["leave-one-attack-out"] == set(names[1:])
    assert learnt["leave-one-vehicle-out"] > learnt["leave-one-attack-out"]


def test_what_cannot_be_chosen_is_said_before_a_protocol_or_an_ablation_starts(tmp_path):
    wrong = {"gat.network": "vgae"}
    with pytest.raises(ConfigError, match=r"gat\.network"):
        plan_protocol("official", None, None, wrong, Paths(tmp_path))
    with pytest.raises(ConfigError, match=r"gat\.network"):
        plan_ablation("official", None, None, None, wrong, Paths(tmp_path))


def test_the_order_in_which_datasets_are_asked_for_makes_no_other_pool(tmp_path):
    for name in ("set_01", "hcrl_sa"):
        (tmp_path / "data" / name / next(iter(dataset_entry(name).splits))).mkdir(parents=True)
    orders = (("set_01", "hcrl_sa"), ("hcrl_sa", "set_01"))
    first, second = (plan_protocol("official", tmp_path / "data", names, {}, Paths(tmp_path)) for names in orders)
    assert first == second
    assert first.config("gat", "large", 0).dataset == "+".join(first.datasets)

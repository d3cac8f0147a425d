"""Folds of a protocol as artifacts that training stages read."""

from config.paths import Paths
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from tasks.plans.protocol import fold_artifact


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

"""A network that has gone wrong gives an error that names capture and window, never NaN scores."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import tiny

from kdgat_models.can.frames import Frames
from kdgat_models.errors import NonFiniteError
from kdgat_models.evaluation import baselines
from kdgat_models.evaluation.baselines import Boosting, untrained_scores
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.method import FusionInputs, fused_scores
from kdgat_models.graphs.finite import Origin
from kdgat_models.registry import build


def broken(model: str, dataset, parameter: str, value: float):
    """A network with one parameter that is not finite."""
    torch.manual_seed(0)
    network = build(tiny(model), dataset.vocabulary.num_ids, dataset.schema).eval()
    with torch.no_grad():
        dict(network.named_parameters())[parameter].view(-1)[0] = value
    return network


@pytest.fixture(scope="module")
def last_parameter(dataset):
    """Name of the last parameter of each network."""
    return {
        model: list(dict(build(tiny(model), dataset.vocabulary.num_ids, dataset.schema).named_parameters()))[-1]
        for model in EXTRACTORS
    }


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("model", EXTRACTORS)
def test_extraction_gives_no_score_that_is_not_finite(dataset, last_parameter, model, value):
    network = broken(model, dataset, last_parameter[model], value)
    windows = np.array([dataset.train.captures[1].graphs[0] + 2])
    name = dataset.train.captures[1].name
    with pytest.raises(NonFiniteError, match=f"is (nan|inf|-inf) in window 2 of capture {name}, which begins at frame"):
        extract(network, EXTRACTORS[model], dataset.train_data(), windows)


class Overflowing:
    """The features of the classifier, with one part of them beyond all bounds."""

    log_odds = True
    names = EXTRACTORS["gat"].names

    def __init__(self, part: str) -> None:
        self.part = part

    def __call__(self, network, batch):
        extraction = EXTRACTORS["gat"](network, batch)
        return extraction._replace(**{self.part: getattr(extraction, self.part) * 1e38 * 1e38})


@pytest.mark.parametrize(
    ("part", "message"), [("score", "the score is"), ("features", "(p_normal|p_attack) is inf in window 0")]
)
def test_a_score_or_a_feature_alone_that_is_not_finite_is_found(dataset, part, message):
    network = build(tiny("gat"), dataset.vocabulary.num_ids, dataset.schema)
    with pytest.raises(NonFiniteError, match=message):
        extract(network, Overflowing(part), dataset.train_data(), np.arange(3))


def test_nobody_is_accused_by_a_logit_that_is_not_finite(dataset):
    network = build(tiny("gat"), dataset.vocabulary.num_ids, dataset.schema)
    head = next(name for name, _ in network.named_parameters() if name.startswith("node_head"))
    with pytest.raises(NonFiniteError, match=r"the logit of a node is .* in window 0 of capture"):
        suspects(broken("gat", dataset, head, np.nan), dataset.train_data())


def test_a_fusion_gives_no_score_that_is_not_finite(dataset):
    method = broken("fusion", dataset, list(dict(build(tiny("fusion"), 1, dataset.schema).named_parameters()))[-1], np.nan)
    inputs = FusionInputs(torch.zeros(2, 15), torch.full((2,), 0.2), torch.full((2,), 0.9))
    scores = fused_scores(method, inputs._replace(states=torch.zeros(2, 15)))
    assert np.isfinite(scores).all()  # an argmax over actions hides it; a view that is not finite shows
    spoilt = inputs._replace(anomaly=torch.tensor([0.2, torch.nan]))
    with pytest.raises(NonFiniteError, match=f"fusion is nan in window 1 of capture {dataset.train.captures[0].name}"):
        fused_scores(method, spoilt, Origin(dataset.train, np.array([0, 1])))
    with pytest.raises(NonFiniteError, match="in window 1 of those given"):
        fused_scores(method, spoilt)


def test_no_baseline_gives_a_score_that_is_not_finite(dataset, monkeypatch):
    trees = SimpleNamespace(decision_function=lambda aggregates: np.full(len(aggregates), np.inf))
    with pytest.raises(NonFiniteError, match="the score of boosting is inf in window 0 of capture"):
        Boosting(dataset.schema, trees).scores(dataset.train, np.arange(3))
    frames = Frames(np.arange(30.0), *(np.zeros((30, *shape), np.uint8) for shape in ((), (), (8,), ())))
    assert set(untrained_scores("here", frames, np.array([0, 10]), 10)) == set(baselines.UNTRAINED)
    monkeypatch.setitem(baselines.UNTRAINED, "id_entropy", lambda frames, starts, size: np.where(starts > 0, np.nan, 0.0))
    with pytest.raises(
        NonFiniteError, match="the score of id_entropy is nan in window 1 of capture here, which begins at frame 10"
    ):
        untrained_scores("here", frames, np.array([0, 10]), 10)

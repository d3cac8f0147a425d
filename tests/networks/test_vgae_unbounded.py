"""The autoencoder on features of any size: brought to the scale of training, clamped, and not squashed into [0, 1]."""

import pytest
import torch

from config import resolve
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.networks.autoencoder import autoencoder_errors
from kdgat_models.networks.vgae import MAX_SCALED, VGAE

FEATURES, NODES = 4, 50


def make(bounded: bool = False, score: str = "max") -> VGAE:
    torch.manual_seed(0)
    network = VGAE(resolve("vgae", "small", **{"vgae.score": score}).vgae, 1, FEATURES, bounded)
    if network.norm is not None:
        network.norm.running_mean.copy_(torch.tensor([0.0, 10.0, -3.0, 100.0]))
        network.norm.running_var.copy_(torch.tensor([1.0, 4.0, 0.25, 900.0]))
    return network.eval()


@pytest.fixture
def batch() -> GraphBatch:
    """Two graphs of 50 nodes, in each of which a node is followed by the next."""
    generator = torch.Generator().manual_seed(1)
    source = torch.arange(2 * NODES - 1)[torch.arange(2 * NODES - 1) != NODES - 1]
    scale = torch.tensor([[1.0, 2.0, 0.5, 30.0]])
    return GraphBatch(
        torch.zeros(2 * NODES, dtype=torch.long),
        torch.randn(2 * NODES, FEATURES, generator=generator) * scale + torch.tensor([[0.0, 10.0, -3.0, 100.0]]),
        torch.stack([source, source + 1]),
        torch.zeros(len(source), 2),
        torch.repeat_interleave(torch.arange(2), NODES),
        torch.zeros(2, dtype=torch.long),
        torch.zeros(2 * NODES, dtype=torch.long),
    )


@torch.no_grad()
def run(network: VGAE, batch: GraphBatch):
    return network(batch.id_index, batch.x, batch.edge_index)


def test_what_is_reconstructed_is_on_the_scale_of_training(batch):
    network = make()
    expected = (batch.x - network.norm.running_mean) / (network.norm.running_var + network.norm.eps).sqrt()
    torch.testing.assert_close(run(network, batch).target, expected)


def test_bounded_features_are_reconstructed_as_they_are(batch):
    output = run(make(bounded=True), batch)
    assert output.target is batch.x
    assert 0 <= output.reconstruction.min() <= output.reconstruction.max() <= 1


def test_the_reconstruction_of_unbounded_features_may_be_negative(batch):
    assert run(make(), batch).reconstruction.min() < 0


@pytest.mark.parametrize(("value", "clamped"), [(1e6, MAX_SCALED), (-1e6, -MAX_SCALED)])
def test_what_lies_far_out_says_no_more_than_the_limit(batch, value, clamped):
    batch.x[3, 1] = value
    output = run(make(), batch)
    assert output.target[3, 1] == clamped
    far = run(make(), batch._replace(x=torch.where(batch.x == value, 2 * value, batch.x)))
    assert torch.equal(far.reconstruction, output.reconstruction)


def test_the_scale_is_learnt_in_training_and_kept_in_use(batch):
    network = make()
    network.train()
    for _ in range(100):
        run(network, batch)
    network.eval()
    kept = network.norm.running_mean.clone()
    torch.testing.assert_close(kept, batch.x.mean(0), rtol=1e-3, atol=1e-3)
    run(network, batch)
    assert torch.equal(network.norm.running_mean, kept)


def test_a_window_scores_as_its_worst_node_or_as_the_mean_of_its_nodes(batch):
    total = autoencoder_errors(run(make(), batch), batch).total(make().arch).view(2, NODES)
    worst, mean = (EXTRACTORS["vgae"](make(score=score), batch).score for score in ("max", "mean"))
    torch.testing.assert_close(worst, total.amax(1))
    torch.testing.assert_close(mean, total.mean(1))


def test_one_bad_node_of_fifty_moves_the_worst_far_more_than_the_mean(batch):
    bad = batch._replace(x=batch.x.clone())
    bad.x[NODES - 1] = 1e6  # the last of its graph
    rise = {}
    for score in ("max", "mean"):
        before, after = (EXTRACTORS["vgae"](make(score=score), graphs).score.tolist() for graphs in (batch, bad))
        rise[score] = after[0] - before[0]
        assert after[1] == pytest.approx(before[1])
    assert rise["max"] > 10 * rise["mean"] > 0

"""Forward passes written out from the papers' equations, on three nodes: which layer is fed what, and what follows it."""

import numpy as np
import pytest
import torch
from three_nodes import ATTRIBUTES, BATCH, EDGES, GRAPH, IDS, X
from torch import nn

from config import resolve
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.layers import with_self_loops
from kdgat_models.networks.pooling import pooling as pooling_called
from kdgat_models.networks.qnetwork import QNetwork
from kdgat_models.networks.vgae import VGAE


def gat(seed=0, **options) -> GAT:
    torch.manual_seed(seed)
    settings = {"gat.hidden": 4, "gat.layers": 2, "gat.heads": 2, "gat.embedding_dim": 3, "gat.dropout": 0.5}
    network = GAT(resolve("gat", "small", **{**settings, **options}).gat, 3, 3, 2)
    for module in network.modules():  # norms that have seen something
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def test_every_node_gets_a_loop_of_its_own_after_the_edges_and_it_has_no_features():
    edges, attributes = with_self_loops(EDGES, ATTRIBUTES, 3)
    assert edges.tolist() == [[0, 1, 1, 0, 1, 2], [1, 0, 1, 0, 1, 2]]
    assert torch.equal(attributes, torch.cat([ATTRIBUTES, torch.zeros(3, 2)]))


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
@pytest.mark.parametrize("conv", ["gat", "gatv2", "transformer"])
def test_the_classifier_is_its_equations(conv, pooling):
    network = gat(**{"gat.conv": conv, "gat.pooling": pooling, "gat.fc_layers": 2})
    edges, attributes = with_self_loops(EDGES, ATTRIBUTES, 3)
    entry = torch.cat([network.embedding.weight[IDS], network.norm(X)], 1)
    first = nn.functional.elu(network.convs[0](entry, edges, attributes))
    second = nn.functional.elu(network.convs[1](first, edges, attributes))
    jumped = torch.cat([first, second], 1)
    pooled = torch.stack([pooling_called(pooling)(16)(jumped[nodes], GRAPH[nodes] * 0, 1)[0] for nodes in ([0, 1], [2])])
    first_linear, last_linear = (layer for layer in network.classifier if isinstance(layer, nn.Linear))
    logits = last_linear(torch.relu(first_linear(pooled)))
    nodes = network.node_head[2](torch.relu(network.node_head[0](torch.cat([entry, jumped], 1))))[:, 0]
    logits[:, 1] += torch.stack([nodes[:2].max(), nodes[2]])
    output = classify(network, BATCH)
    torch.testing.assert_close(output.embedding, pooled)
    torch.testing.assert_close(output.node_logit, nodes)
    torch.testing.assert_close(output.logits, logits)


@torch.no_grad()
@pytest.mark.parametrize("conv", ["gatv2", "transformer"])
def test_edge_features_are_brought_to_one_scale_before_they_are_read(conv):
    network = gat(**{"gat.conv": conv})
    layer, h = network.convs[0], torch.randn(3, 6)
    edges, attributes = with_self_loops(EDGES, ATTRIBUTES, 3)
    norm = layer.norm
    scaled = (attributes - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(layer(h, edges, attributes), layer.conv(h, edges, scaled))


@torch.no_grad()
def test_without_normalisation_features_are_read_as_they_are():
    network = gat(**{"gat.normalise": False})
    assert torch.equal(network.norm(X), X)


def vgae(bounded: bool) -> VGAE:
    torch.manual_seed(0)
    settings = {"vgae.hidden": (8, 6, 4), "vgae.heads": 2, "vgae.decoder_heads": 2, "vgae.embedding_dim": 3}
    network = VGAE(resolve("vgae", "small", **settings).vgae, 3, 3, bounded)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("bounded", [True, False])
def test_the_autoencoder_is_its_equations(bounded):
    network = vgae(bounded)
    edges, _ = with_self_loops(EDGES, torch.zeros(3, 0), 3)
    x = X if bounded else network.norm(X).clamp(-8, 8)
    h = torch.cat([network.embedding.weight[IDS], x], 1)
    h = torch.relu(network.encoder_norm_1(network.encoder_1(h, edges)))
    h = torch.relu(network.encoder_norm_2(network.encoder_2(h, edges)))
    mu, logvar = network.mu(h), network.logvar(h)
    noise = torch.tensor([[1.0, -2.0, 0.5, 0.0]] * 3)
    z = mu + logvar.exp().sqrt() * noise
    decoded = network.decoder_2(torch.relu(network.decoder_norm_1(network.decoder_1(z, edges))), edges)
    output = network(IDS, X, EDGES, noise)
    torch.testing.assert_close(output.mu, mu)
    torch.testing.assert_close(output.logvar, logvar)
    torch.testing.assert_close(output.id_logits, network.id_head(z))
    torch.testing.assert_close(output.neighborhood_logits, network.neighborhood_head(z))
    torch.testing.assert_close(output.reconstruction, torch.sigmoid(decoded) if bounded else decoded)
    assert logvar.abs().max() < 10


@torch.no_grad()
@pytest.mark.parametrize("sign", [1, -1])
def test_the_width_of_the_posterior_is_bounded_on_both_sides(sign):
    network = vgae(True)
    nn.init.constant_(network.logvar.bias, sign * 1e6)
    assert set(network(IDS, X, EDGES).logvar.flatten().tolist()) == {sign * 10.0}


@torch.no_grad()
def test_the_values_of_actions_are_layers_of_linear_norm_and_relu():
    torch.manual_seed(0)
    network = QNetwork(resolve("fusion", "small", **{"dqn.hidden": 6, "dqn.layers": 2, "dqn.actions": 3}).dqn, 4).eval()
    linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    state = torch.randn(5, 4)
    h = torch.relu(nn.functional.layer_norm(linear[0](state), (6,)))
    h = torch.relu(nn.functional.layer_norm(linear[1](h), (6,)))
    torch.testing.assert_close(network(state), linear[2](h))


@torch.no_grad()
@pytest.mark.parametrize("model", ["gat", "vgae", "fusion"])
def test_dropout_drops_in_training_and_not_in_use(model):
    torch.manual_seed(0)
    if model == "gat":
        network, arguments = gat(**{"gat.dropout": 0.5}), (IDS, X, EDGES, ATTRIBUTES, GRAPH, 2)
    elif model == "vgae":
        network, arguments = vgae(True), (IDS, X, EDGES)
    else:
        network, arguments = QNetwork(resolve("fusion", "small", **{"dqn.dropout": 0.5}).dqn, 4), (torch.randn(3, 4),)

    def outputs() -> list[np.ndarray]:
        found = [network(*arguments) for _ in range(2)]
        return [(one if model == "fusion" else one[0]).numpy() for one in found]

    network.eval()
    assert np.array_equal(*outputs())
    network.train()
    for module in network.modules():  # what differs is not the batch's statistics
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    assert not np.array_equal(*outputs())

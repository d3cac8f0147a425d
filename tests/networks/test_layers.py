"""What networks are built of, by hand: loops, attention, poolings, dropout, widths; and batches with empty graphs."""

import pytest
import torch
from three_nodes import ATTRIBUTES, BATCH, EDGES, GRAPH, IDS, X
from torch import nn
from torch.nn import functional as F

from config import resolve
from config.plugins import names
from kdgat_models.networks.autoencoder import AutoencoderErrors
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.convolution import convolution
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.layers import with_self_loops
from kdgat_models.networks.pooling import pooling
from kdgat_models.networks.qnetwork import QNetwork
from kdgat_models.networks.vgae import VGAE

NO_LOOP = EDGES[0] != EDGES[1]


def gat(**options) -> GAT:
    torch.manual_seed(0)
    settings = {"gat.hidden": 4, "gat.layers": 2, "gat.heads": 2, "gat.embedding_dim": 3, "gat.dropout": 0.3}
    return GAT(resolve("gat", "small", **{**settings, **options}).gat, 3, 3, 2)


def vgae(bounded=True, **options) -> VGAE:
    torch.manual_seed(0)
    settings = {"vgae.hidden": (8, 6, 4), "vgae.heads": 2, "vgae.decoder_heads": 2, "vgae.embedding_dim": 3}
    return VGAE(resolve("vgae", "small", **{**settings, "vgae.dropout": 0.3, **options}).vgae, 3, 3, bounded)


def with_fixed_norms(network):
    """In training mode, but for norms, whose statistics are kept."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    return network


# Loops


def test_loops_of_a_window_are_kept_beside_those_of_the_nodes_or_replaced_by_them():
    edges, attributes = with_self_loops(EDGES, ATTRIBUTES, 3, "replace")
    assert edges.tolist() == [[0, 1, 0, 1, 2], [1, 0, 0, 1, 2]]
    assert attributes.tolist() == [[1, -2], [0.5, 3], [0, 0], [0, 0], [0, 0]]
    kept, _ = with_self_loops(EDGES, ATTRIBUTES, 3, "add")
    assert kept.tolist() == [[0, 1, 1, 0, 1, 2], [1, 0, 1, 0, 1, 2]]


@torch.no_grad()
@pytest.mark.parametrize(("kind", "matters"), [("add", True), ("replace", False)])
def test_the_loops_of_a_window_matter_to_networks_unless_they_are_replaced(kind, matters):
    classifier, autoencoder = gat(**{"gat.self_loops": kind}).eval(), vgae(**{"vgae.self_loops": kind}).eval()
    without = BATCH._replace(edge_index=EDGES[:, NO_LOOP], edge_attr=ATTRIBUTES[NO_LOOP])
    assert torch.equal(classify(classifier, BATCH).logits, classify(classifier, without).logits) != matters
    first, second = (autoencoder(IDS, X, edges).mu for edges in (EDGES, EDGES[:, NO_LOOP]))
    assert torch.equal(first, second) != matters


# Attention


def attention(conv, x, edges):
    """Velickovic et al. 2018, eq. 1-5: for each node, over its incoming edges, in plain loops; heads side by side."""
    heads, width = conv.heads, conv.out_channels
    h = conv.lin(x).view(-1, heads, width)
    out = torch.zeros(len(x), heads, width)
    for node in range(len(x)):
        sources = [int(s) for s, t in edges.T.tolist() if t == node]
        for head in range(heads):
            raw = [conv.att_src[0, head] @ h[s, head] + conv.att_dst[0, head] @ h[node, head] for s in sources]
            if raw:
                alpha = torch.softmax(F.leaky_relu(torch.stack(raw), 0.2), 0)
                out[node, head] = sum(a * h[s, head] for a, s in zip(alpha, sources, strict=True))
    return out.reshape(len(x), heads * width) + conv.bias


@torch.no_grad()
@pytest.mark.parametrize("edges", [EDGES, EDGES[:, NO_LOOP], EDGES[:, :0]], ids=["with a loop", "without", "no edge"])
def test_attention_hears_the_edges_that_it_is_given_and_no_other(edges):
    torch.manual_seed(0)
    layer = convolution("gat")(3, 4, 2, 2).conv
    layer.bias.normal_()
    torch.testing.assert_close(layer(X, edges), attention(layer, X, edges))
    network = vgae()
    for conv, inputs, heads in ((network.encoder_1, 6, 2), (network.encoder_2, 8, 1), (network.decoder_1, 4, 2)):
        x = torch.randn(3, inputs)
        assert conv.heads == heads
        torch.testing.assert_close(conv(x, edges), attention(conv, x, edges))


@torch.no_grad()
@pytest.mark.parametrize("name", ["gat", "gatv2"])
def test_a_node_without_edges_gets_nothing_but_the_bias(name):
    layer = convolution(name)(3, 4, 2, 2).eval()
    layer.conv.bias.normal_()
    torch.testing.assert_close(layer(X, EDGES[:, :2], ATTRIBUTES[:2])[2], layer.conv.bias)


# Poolings

NODES = torch.tensor([[1.0, -4.0], [3.0, 2.0], [-5.0, 7.0]])
BY_HAND = {
    "mean": [[2, -1], [-5, 7]],
    "max": [[3, 2], [-5, 7]],
    "mean_max": [[2, -1, 3, 2], [-5, 7, -5, 7]],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_pooling_by_hand(name):
    assert pooling(name)(2)(NODES, GRAPH, 2).tolist() == BY_HAND[name]


@torch.no_grad()
def test_attention_is_a_mean_weighted_by_the_softmax_of_its_gate_over_the_nodes_of_a_graph():
    pool = pooling("attention")(2)
    gate = pool.gate.gate_nn
    weights = [torch.softmax(gate(NODES[rows])[:, 0], 0) for rows in ([0, 1], [2])]
    expected = torch.stack([weights[0] @ NODES[:2], weights[1] @ NODES[2:]])
    torch.testing.assert_close(pool(NODES, GRAPH, 2), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", names("poolings"))
def test_a_graph_without_nodes_has_its_place_also_at_the_end_of_a_batch(name):
    pool = pooling(name)(2)
    assert pool(NODES, GRAPH, 4).shape == (4, pool.width)
    network = gat(**{"gat.pooling": name}).eval()
    output = network(IDS, X, EDGES, ATTRIBUTES, GRAPH, 3)
    assert output.logits.shape == (3, 2)
    torch.testing.assert_close(output.logits[:2], classify(network, BATCH).logits)


# Dropout: the same draws, in the same order


def dropped(h):
    return F.dropout(h, 0.3)


@torch.no_grad()
@pytest.mark.parametrize("node_head", [True, False])
def test_the_classifier_drops_after_each_attention_layer_and_before_the_last_linear_one(node_head):
    network = with_fixed_norms(gat(**{"gat.fc_layers": 3, "gat.node_head": node_head}))
    torch.manual_seed(7)
    output = classify(network, BATCH)
    torch.manual_seed(7)
    edges, attributes = with_self_loops(EDGES, ATTRIBUTES, 3)
    entry = torch.cat([network.embedding.weight[IDS], network.norm(X)], 1)
    first = dropped(F.elu(network.convs[0](entry, edges, attributes)))
    second = dropped(F.elu(network.convs[1](first, edges, attributes)))
    jumped = torch.cat([first, second], 1)
    pooled = network.pooling(jumped, GRAPH, 2)
    linear = [layer for layer in network.classifier if isinstance(layer, nn.Linear)]
    assert len(linear) == 3
    logits = linear[2](dropped(torch.relu(linear[1](torch.relu(linear[0](pooled))))))
    if node_head:
        nodes = network.node_head[2](torch.relu(network.node_head[0](torch.cat([entry, jumped], 1))))[:, 0]
        logits = logits + torch.stack([torch.zeros(2), torch.stack([nodes[:2].max(), nodes[2]])], 1)
    torch.testing.assert_close(output.embedding, pooled)
    torch.testing.assert_close(output.logits, logits)


@torch.no_grad()
@pytest.mark.parametrize("bounded", [True, False])
def test_the_autoencoder_drops_after_each_of_its_layers_but_the_last(bounded):
    network = with_fixed_norms(vgae(bounded))
    torch.manual_seed(7)
    output = network(IDS, X, EDGES)
    torch.manual_seed(7)
    edges, _ = with_self_loops(EDGES, torch.zeros(3, 0), 3)
    h = torch.cat([network.embedding.weight[IDS], X if bounded else network.norm(X)], 1)
    h = dropped(torch.relu(network.encoder_norm_1(network.encoder_1(h, edges))))
    h = dropped(torch.relu(network.encoder_norm_2(network.encoder_2(h, edges))))
    mu = network.mu(h)
    decoded = network.decoder_2(dropped(torch.relu(network.decoder_norm_1(network.decoder_1(mu, edges)))), edges)
    torch.testing.assert_close(output.mu, mu)
    torch.testing.assert_close(output.reconstruction, torch.sigmoid(decoded) if bounded else decoded)


@torch.no_grad()
def test_the_q_network_drops_after_each_layer_but_the_last():
    torch.manual_seed(0)
    settings = {"dqn.hidden": 6, "dqn.layers": 2, "dqn.actions": 3, "dqn.dropout": 0.3}
    network = QNetwork(resolve("fusion", "small", **settings).dqn, 4).train()
    linear, norms = ([layer for layer in network.layers if isinstance(layer, kind)] for kind in (nn.Linear, nn.LayerNorm))
    state = torch.randn(5, 4)
    torch.manual_seed(7)
    values = network(state)
    torch.manual_seed(7)
    h = dropped(torch.relu(norms[0](linear[0](state))))
    torch.testing.assert_close(values, linear[2](dropped(torch.relu(norms[1](linear[1](h))))))


# Widths and scales


def test_heads_of_nodes_and_of_neighbours_are_as_wide_as_said():
    for options, width in (({}, 4 * 2 // 4), ({"gat.node_hidden": 5}, 5)):
        assert gat(**options).node_head[0].out_features == width
    for options, width in (({}, 4), ({"vgae.neighborhood_hidden": 5}, 5)):
        linear = [layer for layer in vgae(**options).neighborhood_head if isinstance(layer, nn.Linear)]
        assert [(layer.in_features, layer.out_features) for layer in linear] == [(4, width), (width, width), (width, 3)]


@torch.no_grad()
def test_the_neighbourhood_head_has_two_hidden_layers():
    network = vgae().eval()
    output = network(IDS, X, EDGES)
    first, second, last = (layer for layer in network.neighborhood_head if isinstance(layer, nn.Linear))
    expected = last(torch.relu(second(torch.relu(first(output.mu)))))
    torch.testing.assert_close(output.neighborhood_logits, expected)


def test_the_scale_of_features_is_measured_and_not_learnt():
    assert not list(vgae(bounded=False).norm.parameters())


@torch.no_grad()
def test_what_lies_more_than_eight_standard_deviations_out_is_taken_as_eight():
    network = vgae(bounded=False).eval()
    x = torch.tensor([[7.9, 8.1, -8.1], [1e6, -7.9, -1e6], [0.0, 8.0, -8.0]])
    expected = torch.tensor([[7.9, 8, -8], [8, -7.9, -8], [0, 8, -8]])
    torch.testing.assert_close(network(IDS, x, EDGES).target, expected, rtol=1e-4, atol=1e-4)


def test_the_anomaly_score_is_the_reconstruction_and_the_weighted_rest():
    arch = vgae(**{"vgae.id_weight": 0.5, "vgae.neighborhood_weight": 0.25, "vgae.kl_weight": 2.0}).arch
    columns = (torch.tensor(values) for values in ([1.0, 2.0], [4.0, 6.0], [8.0, 4.0], [0.5, 3.0]))
    assert AutoencoderErrors(*columns).total(arch).tolist() == [1 + 2 + 2 + 1, 2 + 3 + 1 + 6]

import numpy as np
import pytest
import torch

from config import resolve
from config.plugins import names
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.networks.autoencoder import adjacent_ids, autoencoder_errors
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.qnetwork import QNetwork
from kdgat_models.networks.vgae import MAX_SCALED, VGAE
from kdgat_models.registry import build

PARAMETERS = {
    ("vgae", "large"): {30: 185_850, 2049: 448_320},
    ("vgae", "small"): {30: 9_186, 2049: 85_908},
    ("gat", "large"): {30: 311_138, 2049: 343_442},
    ("gat", "small"): {30: 49_202, 2049: 65_354},
    ("fusion", "large"): {30: 689_493, 2049: 689_493},
    ("fusion", "small"): {30: 32_341, 2049: 32_341},
}


METHODS = {"relative": "dataset", "published": "published_dataset"}  # fixture with the graphs of each


def make(model, scale, dataset, conv="gat", method="published"):
    config = resolve(model, scale, method=method, **{"gat.conv": conv})
    torch.manual_seed(0)
    return build(config, dataset.vocabulary.num_ids, dataset.schema).eval()


@pytest.mark.parametrize(("model", "scale", "num_ids"), [(*key, ids) for key in PARAMETERS for ids in (30, 2049)])
def test_parameter_counts_are_the_published_ones(model, scale, num_ids):
    config = resolve(model, scale, method="published")
    if model == "vgae":
        network = VGAE(config.vgae, num_ids, 10)
    elif model == "gat":
        network = GAT(config.gat, num_ids, 10, 11)
    else:
        network = QNetwork(config.dqn, 15)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[model, scale][num_ids]


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def graphs(request, method):
    """The dataset as `method` wants it."""
    return request.getfixturevalue(METHODS[method])


@pytest.fixture
def batch(graphs):
    return graphs.train_data().batch(np.array([3, 700, 1200, 40]))


def permuted(batch: GraphBatch) -> tuple[GraphBatch, torch.Tensor]:
    """The same graphs with nodes and edges in another order, and the order of the nodes."""
    generator = torch.Generator().manual_seed(1)
    order = torch.argsort(batch.graph + torch.rand(len(batch.x), generator=generator) * 0.9)
    place = torch.argsort(order)
    edges = torch.randperm(batch.edge_index.shape[1], generator=generator)
    return (
        GraphBatch(
            batch.id_index[order],
            batch.x[order],
            place[batch.edge_index[:, edges]],
            batch.edge_attr[edges],
            batch.graph[order],
            batch.label,
            batch.node_label[order],
        ),
        order,
    )


@pytest.mark.parametrize("conv", names("convolutions"))
@pytest.mark.parametrize("scale", ["large", "small"])
def test_gat_gives_a_batch_what_it_gives_its_graphs_alone(graphs, batch, method, scale, conv):
    network = make("gat", scale, graphs, conv, method)
    together = classify(network, batch)
    alone = [classify(network, graphs.train_data().batch(np.array([graph]))) for graph in (3, 700, 1200, 40)]
    torch.testing.assert_close(together.logits, torch.cat([output.logits for output in alone]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("conv", names("convolutions"))
def test_gat_does_not_care_about_the_order_of_nodes_and_edges(graphs, batch, method, conv):
    network = make("gat", "small", graphs, conv, method)
    other, order = permuted(batch)
    expected, output = classify(network, batch), classify(network, other)
    torch.testing.assert_close(output.logits, expected.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.node_logit, expected.node_logit[order], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("conv", "reads"), [("gat", False), ("gatv2", True), ("transformer", True)])
def test_only_edge_aware_convolutions_read_edge_features(graphs, batch, method, conv, reads):
    network = make("gat", "small", graphs, conv, method)
    changed = batch._replace(edge_attr=batch.edge_attr.flip(0))
    assert reads != torch.allclose(classify(network, batch).logits, classify(network, changed).logits)


def test_vgae_does_not_care_about_the_order_of_nodes_and_edges(graphs, batch, method):
    network = make("vgae", "small", graphs, method=method)
    other, order = permuted(batch)
    expected = network(batch.id_index, batch.x, batch.edge_index)
    output = network(other.id_index, other.x, other.edge_index)
    torch.testing.assert_close(output.mu, expected.mu[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.reconstruction, expected.reconstruction[order], atol=1e-5, rtol=1e-4)


def test_vgae_without_noise_decodes_mu_and_with_noise_does_not(graphs, batch, method):
    network = make("vgae", "small", graphs, method=method)
    args = (batch.id_index, batch.x, batch.edge_index)
    assert torch.equal(network(*args).id_logits, network(*args).id_logits)
    assert torch.equal(network(*args).id_logits, network(*args, torch.zeros(len(batch.x), 16)).id_logits)
    assert not torch.allclose(network(*args).id_logits, network(*args, torch.ones(len(batch.x), 16)).id_logits)


def test_vgae_errors_are_the_published_terms(graphs, batch, method):
    network = make("vgae", "small", graphs, method=method)
    output = network(batch.id_index, batch.x, batch.edge_index)
    errors = autoencoder_errors(output, batch)
    normal = torch.distributions.Normal(output.mu, (output.logvar / 2).exp())
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean(1)
    torch.testing.assert_close(errors.kl, divergence, atol=1e-5, rtol=1e-4)
    target = batch.x if graphs.schema["bounded"] else network.norm(batch.x).clamp(-MAX_SCALED, MAX_SCALED)
    torch.testing.assert_close(errors.reconstruction, (output.reconstruction - target).square().mean(1))
    inside = (output.reconstruction > 0) & (output.reconstruction < 1)
    assert bool(inside.all()) == graphs.schema["bounded"]
    total = errors.reconstruction + 0.1 * errors.identity + 0.05 * errors.neighborhood + 0.01 * errors.kl
    torch.testing.assert_close(errors.total(network.arch), total)
    assert output.reconstruction.shape == batch.x.shape


def test_adjacent_ids_are_those_of_the_neighbours_in_both_directions():
    batch = GraphBatch(
        torch.tensor([1, 2, 0]),
        torch.zeros(3, 10),
        torch.tensor([[0, 2], [1, 2]]),
        torch.zeros(2, 11),
        torch.zeros(3, dtype=torch.long),
        torch.zeros(1, dtype=torch.long),
        torch.zeros(3, dtype=torch.long),
    )
    assert adjacent_ids(batch, 4).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]


def test_logvar_is_clamped(graphs, batch, method):
    network = make("vgae", "small", graphs, method=method)
    torch.nn.init.constant_(network.logvar.bias, 1e6)
    assert network(batch.id_index, batch.x, batch.edge_index).logvar.max() == 10.0


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_a_graph_without_edges_gives_finite_outputs(graphs, method, model):
    network = make(model, "small", graphs, method=method)
    schema = feature_schema(graphs.schema["name"])
    nodes, edges = torch.rand(3, schema.continuous), torch.zeros(2, 0, dtype=torch.long)
    ids, graph = torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long)
    attributes = torch.zeros(0, len(schema.edge_features))
    arguments = (ids, nodes, edges) if model == "vgae" else (ids, nodes, edges, attributes, graph, 1)
    assert all(torch.isfinite(tensor).all() for tensor in network(*arguments))

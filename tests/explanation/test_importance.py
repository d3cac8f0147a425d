"""What features count for: exact for networks that are linear, complete for ours, and nothing else is touched by asking."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from conftest import tiny

from kdgat_models.errors import DatasetError, NonFiniteError
from kdgat_models.explanation import permutation
from kdgat_models.explanation.explain import explained_windows, features_of
from kdgat_models.explanation.importance import Feature, ranked
from kdgat_models.explanation.integrated_gradients import attributions, baseline_of, integrated_gradients
from kdgat_models.explanation.permutation import permutation_importance
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import VALIDATION
from kdgat_models.networks.classifier import ClassifierOutput
from kdgat_models.networks.gat import GAT


class Linear(GAT):
    """Log-odds that are a sum over nodes and edges of their features, and of embeddings, times a weight."""

    def __init__(self, schema, node=(), edge=(), num_ids=1, of_ids=0.0):
        super().__init__(tiny("gat").gat, num_ids, len(schema["node_features"]) - 1, len(schema["edge_features"]))
        names = schema["node_features"][1:], schema["edge_features"]
        self.weights = [
            torch.tensor([dict(given).get(name, 0.0) for name in side]) for given, side in zip((node, edge), names, strict=True)
        ]
        self.of_ids = of_ids

    def forward(self, id_index, x, edge_index, edge_attr, graph, num_graphs):
        nodes = x @ self.weights[0] + self.of_ids * self.embedding(id_index).sum(1)
        score = torch.zeros(num_graphs).index_add(0, graph, nodes)
        score = score.index_add(0, graph[edge_index[0]], edge_attr @ self.weights[1])
        return ClassifierOutput(
            torch.stack([torch.zeros_like(score), score], 1), torch.zeros(num_graphs, 1), torch.zeros(len(x))
        )


@pytest.fixture(scope="module")
def windows(dataset):
    return explained_windows(dataset.train, 40)


@pytest.fixture(scope="module")
def looked_up(demo_graphs):
    """The same graphs, with an embedding of each ID."""
    return GraphDataset(demo_graphs.path, tiny(**{"identity.encoding": "lookup"}).identity)


def network(dataset, seed=0, **options):
    """A GAT whose weights are as at the start of training, but whose norms have seen the data."""
    torch.manual_seed(seed)
    made = GAT.from_config(tiny("gat", "small", **options), dataset.vocabulary.num_ids, dataset.schema).train()
    with torch.no_grad():
        for _ in range(20):
            batch = dataset.train_data().batch(dataset.train.windows(VALIDATION))
            made(batch.id_index, batch.x, batch.edge_index, batch.edge_attr, batch.graph, batch.num_graphs)
    return made.eval()


def column(dataset, kind, name):
    return features_of(dataset.schema).index(Feature(kind, name))


def sums(dataset, windows, values, offsets):
    """Sum of a column over the nodes (edges) of each window, less the mean over all nodes (edges) of the normal windows."""
    parts = [values[offsets[window] : offsets[window + 1]].astype(float) for window in windows]
    normal = np.concatenate([part for part, window in zip(parts, windows, strict=True) if not dataset.train.label[window]])
    return np.array([(part - normal.mean()).sum() for part in parts])


def test_features_are_the_index_of_the_id_then_nodes_then_edges(dataset):
    found = features_of(dataset.schema)
    assert found[0] == ("node", "id_index")
    assert [name for kind, name in found if kind == "edge"] == dataset.schema["edge_features"]
    assert len(set(found)) == len(dataset.schema["node_features"]) + len(dataset.schema["edge_features"])


def test_windows_are_of_both_labels_and_of_validation_alone(dataset):
    chosen = explained_windows(dataset.train, 40)
    assert (dataset.train.role[chosen] == VALIDATION).all()
    assert dataset.train.label[chosen].sum() == 20
    assert (np.diff(chosen) > 0).all()
    everything = explained_windows(dataset.train, 10**6)
    assert everything.tolist() == dataset.train.windows(VALIDATION).tolist()


def test_what_a_linear_network_is_told_is_weight_times_distance_from_the_mean_of_normal_windows(dataset, windows):
    store = dataset.train
    linear = Linear(dataset.schema, node=[("early_max", 2.0)], edge=[("count", -3.0)])
    found = integrated_gradients(linear, dataset.train_data(), windows, steps=2)
    at = column(dataset, "node", "early_max"), column(dataset, "edge", "count")
    node = 2 * sums(dataset, windows, store.x[:, at[0] - 1], store.node_offsets)
    edge = -3 * sums(dataset, windows, store.edge_attr[:, dataset.schema["edge_features"].index("count")], store.edge_offsets)
    assert found[at[0]] == pytest.approx(np.abs(node).mean(), rel=1e-4)
    assert found[at[1]] == pytest.approx(np.abs(edge).mean(), rel=1e-4)
    assert np.delete(found, at) == pytest.approx(0)


def test_the_embedding_of_ids_is_one_feature(looked_up, windows):
    linear = Linear(looked_up.schema, num_ids=looked_up.vocabulary.num_ids, of_ids=1.0)
    found = integrated_gradients(linear, looked_up.train_data(), windows, steps=1)
    embedded = (
        linear.embedding.weight.detach().double().sum(1).numpy()[looked_up.vocabulary.encode(looked_up.train.arbitration_id)]
    )
    expected = np.abs(sums(looked_up, windows, embedded, looked_up.train.node_offsets)).mean()
    assert found[0] == pytest.approx(expected, rel=1e-4)
    assert found[1:] == pytest.approx(0)


@pytest.mark.parametrize("conv", ["gat", "gatv2", "transformer"])
def test_attributions_are_complete(looked_up, windows, conv):
    classifier, data = network(looked_up, **{"gat.conv": conv}), looked_up.train_data()
    baseline = baseline_of(classifier, data, windows[looked_up.train.label[windows] == 0])
    found = attributions(classifier, data, windows, baseline, steps=256)
    difference = found.score - found.baseline_score
    assert difference.abs().mean() > 0.1
    torch.testing.assert_close(found.features.sum(1), difference, atol=0.01 * float(difference.abs().mean()), rtol=0.02)


def test_the_score_that_is_explained_is_that_of_the_windows(dataset, windows):
    classifier, data = network(dataset), dataset.train_data()
    found = attributions(classifier, data, windows, baseline_of(classifier, data, windows), steps=1)
    with torch.no_grad():
        logits = classifier(*data.batch(windows)[:5], len(windows)).logits
    torch.testing.assert_close(found.score, logits[:, 1] - logits[:, 0])


def test_a_window_is_explained_alike_in_any_batch(dataset, windows, monkeypatch):
    classifier, data = network(dataset), dataset.train_data()
    whole = integrated_gradients(classifier, data, windows, steps=3)
    monkeypatch.setattr("kdgat_models.explanation.integrated_gradients.MOST_WINDOWS", 7)
    assert integrated_gradients(classifier, data, windows, steps=3) == pytest.approx(whole, rel=1e-3, abs=1e-6)


def test_there_must_be_normal_windows_to_start_from(dataset, windows):
    attacks = windows[dataset.train.label[windows] == 1]
    with pytest.raises(DatasetError, match="none of 20 is normal"):
        integrated_gradients(network(dataset), dataset.train_data(), attacks)


METHODS = {
    "integrated_gradients": lambda *given: integrated_gradients(*given, steps=2),
    "permutation": lambda *given: permutation_importance(*given, seed=1, repeats=1),
}


@pytest.mark.parametrize("method", METHODS)
def test_asking_changes_neither_the_network_nor_the_draws_of_others_nor_its_own_answer(dataset, windows, method):
    classifier = network(dataset).train()
    before = deepcopy(classifier.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (METHODS[method](classifier, dataset.train_data(), windows) for _ in range(2))
    assert classifier.training
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    assert not classifier.embedding._forward_hooks
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert np.array_equal(first, second)


def test_what_a_network_reads_is_missed_when_it_is_shuffled_and_nothing_else_is(dataset, windows):
    linear = Linear(dataset.schema, node=[("early_max", 1.0), ("load", 1.0)], edge=[("gap", 1.0)])
    found = permutation_importance(linear, dataset.train_data(), windows, seed=0)
    read = [column(dataset, *feature) for feature in (("node", "early_max"), ("node", "load"), ("edge", "gap"))]
    assert (found[read] != 0).all()
    assert np.delete(found, read).tolist() == [0.0] * (len(found) - 3)
    assert not np.array_equal(found, permutation_importance(linear, dataset.train_data(), windows, seed=1))


def test_what_decides_is_missed_most(dataset, windows):
    """The log-odds rise with how early frames come, which is what attacks by injection change."""
    store = dataset.train
    at = column(dataset, "node", "early_max")
    height = np.array([store.x[store.node_offsets[w] : store.node_offsets[w + 1], at - 1].sum() for w in windows])
    assert height[store.label[windows] == 1].mean() > height[store.label[windows] == 0].mean()
    linear = Linear(dataset.schema, node=[("early_max", 0.1)])
    assert permutation_importance(linear, dataset.train_data(), windows, seed=0, repeats=10)[at] > 0


def test_a_feature_of_the_bus_stays_the_same_at_all_nodes_of_a_window(dataset, windows):
    batch, generator = dataset.train_data().batch(windows), np.random.default_rng(0)
    names = dataset.schema["node_features"][1:]
    load, early = (permutation._Column("x", names.index(name)) for name in ("load", "early_max"))
    for feature, same in ((load, True), (early, False)):
        before, after = batch.x[:, feature.at], permutation._shuffled(batch, feature, generator).x[:, feature.at]
        spans = [after[batch.graph == graph] for graph in range(batch.num_graphs)]
        assert all(len(span.unique()) == 1 for span in spans) == same
        assert not torch.equal(before, after)
        kept = [values[[0]] if same else values for values in spans]
        given = [before[batch.graph == graph][[0]] if same else before[batch.graph == graph] for graph in range(len(spans))]
        assert torch.equal(torch.cat(kept).sort().values, torch.cat(given).sort().values)


def test_losses_do_not_depend_on_how_many_windows_are_asked_at_a_time(dataset, windows, monkeypatch):
    classifier, data = network(dataset), dataset.train_data()
    whole = permutation._loss(classifier, data.batch(windows))
    monkeypatch.setattr(permutation, "BATCH_WINDOWS", 7)
    assert permutation._loss(classifier, data.batch(windows)) == pytest.approx(whole, rel=1e-4)


def test_equal_importances_share_their_rank():
    features = [Feature("node", name) for name in "abcd"]
    assert [row.rank for row in ranked(features, np.array([0.5, 2.0, 0.5, -1.0]))] == [2.5, 1.0, 2.5, 4.0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_importance_that_is_not_finite_is_an_error_that_names_the_feature(value):
    with pytest.raises(NonFiniteError, match="the node feature b is"):
        ranked([Feature("node", "a"), Feature("node", "b")], np.array([1.0, value]))

"""The compiled classifier says what PyTorch says, and of each window the same whatever windows come with it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from some_windows import IDS, chosen, in_torch, network, windows
from torch import nn

from config.plugins import names
from kdgat_models.errors import NonFiniteError, SchemaError, UnsupportedError
from kdgat_models.inference.compiled import CompiledClassifier
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.pooling import Pooling

NODES = [1, 2, 3, 4, 5, 31, 64, 1, 100]
OPTIONS = {
    "as it is by default": {},
    "without a node head": {"gat.node_head": False},
    "loops replaced": {"gat.self_loops": "replace"},
    "three linear layers, nothing normalised": {"gat.fc_layers": 3, "gat.normalise": False},
    "odd sizes": {"gat.layers": 3, "gat.hidden": 5, "gat.heads": 1, "gat.node_hidden": 7, "gat.embedding_dim": 3},
}


@pytest.fixture
def graphs():
    return windows(np.random.default_rng(1), NODES)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("pool", names("poolings"))
@pytest.mark.parametrize("conv", names("convolutions"))
def test_logits_are_those_of_pytorch(graphs, conv, pool, options):
    trained = network(**{"gat.conv": conv, "gat.pooling": pool, **options})
    compiled, expected = CompiledClassifier.of(trained)(graphs), in_torch(trained, graphs)
    np.testing.assert_allclose(compiled.logits, expected.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(compiled.node_logit, expected.node_logit, rtol=1e-4, atol=1e-5)


def test_large_values_are_as_exact_as_small_ones(graphs):
    trained = network()
    far = graphs._replace(x=graphs.x * 300, edge_attr=graphs.edge_attr * 300)
    np.testing.assert_allclose(CompiledClassifier.of(trained)(far).logits, in_torch(trained, far).logits, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    nodes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
    conv=st.sampled_from(names("convolutions")),
    pool=st.sampled_from(names("poolings")),
    data=st.data(),
)
def test_a_window_has_the_same_bits_alone_and_in_any_company(nodes, seed, conv, pool, data):
    compiled = CompiledClassifier.of(network(**{"gat.conv": conv, "gat.pooling": pool}))
    together = windows(np.random.default_rng(seed), nodes)
    order = data.draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=12))
    whole, parts = compiled(together), compiled(chosen(together, order))
    assert parts.logits.tobytes() == whole.logits[order].tobytes()
    of_nodes = [whole.node_logit[together.node_offsets[g] : together.node_offsets[g + 1]] for g in order]
    assert parts.node_logit.tobytes() == np.concatenate(of_nodes).tobytes()
    for g in order:
        assert compiled(chosen(together, [g])).logits.tobytes() == whole.logits[g].tobytes()


def test_no_window_has_no_logits():
    none = chosen(windows(np.random.default_rng(0), [3]), [0])
    empty = none._replace(
        **{name: getattr(none, name)[:0] for name in ("id_index", "x", "source", "target", "edge_attr")},
        node_offsets=np.zeros(1, np.int64),
        edge_offsets=np.zeros(1, np.int64),
    )
    output = CompiledClassifier.of(network())(empty)
    assert output.logits.shape == (0, 2)
    assert output.node_logit.shape == (0,)


def test_arrays_may_be_read_only_views_of_other_types(graphs):
    compiled = CompiledClassifier.of(network())
    expected = compiled(graphs).logits
    strided = [np.repeat(array.astype(np.int64 if array.dtype.kind == "i" else np.float64), 2, 0)[::2] for array in graphs]
    for array in strided:
        array.flags.writeable = False
    np.testing.assert_array_equal(compiled(type(graphs)(*strided)).logits, expected)


def test_what_does_not_fit_is_refused_before_compiled_code_reads_it(graphs):
    compiled = CompiledClassifier.of(network())

    def changed(name, row, value):
        array = getattr(graphs, name).copy()
        array[row] = value
        return graphs._replace(**{name: array})

    for name, row, value in [("id_index", 3, IDS), ("id_index", 0, -1)]:
        with pytest.raises(SchemaError, match="network of 7 IDs"):
            compiled(changed(name, row, value))
    for name, row, value in [("source", 0, 1), ("target", -1, 100), ("target", 5, -1)]:
        with pytest.raises(SchemaError, match="an edge leaves its window"):
            compiled(changed(name, row, value))
    for name, row, value in [
        ("node_offsets", 0, 1),
        ("node_offsets", -1, 10_000),
        ("node_offsets", 1, 0),
        ("edge_offsets", 2, -4),
    ]:
        with pytest.raises(SchemaError, match="offsets"):
            compiled(changed(name, row, value))
    for name in ("id_index", "source", "target", "node_offsets"):
        with pytest.raises(SchemaError, match="offsets"):
            compiled(graphs._replace(**{name: getattr(graphs, name)[:-1]}))
    with pytest.raises(SchemaError, match="reads 9 features of a node and 5 of an edge, not 8 and 5"):
        compiled(graphs._replace(x=graphs.x[:, 1:]))
    for name, value in [("x", np.nan), ("edge_attr", np.inf)]:
        with pytest.raises(NonFiniteError):
            compiled(changed(name, 2, value))


def test_parts_of_other_packages_are_left_to_pytorch():
    class Sum(Pooling):
        def forward(self, h, graph, num_graphs):
            return torch.zeros(num_graphs, self.width).index_add(0, graph, h)

    class Other(GAT):
        pass

    trained = network(**{"gat.pooling": "mean"})
    trained.pooling = Sum(trained.pooling.width)
    with pytest.raises(UnsupportedError, match="pooling Sum is not compiled"):
        CompiledClassifier.of(trained)
    trained = network()
    trained.convs[1] = nn.Linear(3, 3)
    with pytest.raises(UnsupportedError, match="convolution Linear is not compiled"):
        CompiledClassifier.of(trained)
    trained = network()
    trained.__class__ = Other
    with pytest.raises(UnsupportedError, match="class Other"):
        CompiledClassifier.of(trained)


def test_a_layer_with_options_that_no_network_here_has_is_refused():
    trained = network()
    trained.convs[0].conv.beta = True
    with pytest.raises(UnsupportedError, match="options as they are"):
        CompiledClassifier.of(trained)


def test_the_compiled_network_keeps_the_weights_that_it_was_made_of(graphs):
    trained = network()
    compiled = CompiledClassifier.of(trained)
    before = compiled(graphs).logits.copy()
    with torch.no_grad():
        trained.classifier[-1].weight.zero_()
    np.testing.assert_array_equal(compiled(graphs).logits, before)

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.nn import global_max_pool

from config import resolve
from config.plugins import names
from config.sections import IdentityConfig
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.vocabulary import UNKNOWN, Vocabulary
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.pooling import max_pool
from kdgat_models.networks.pooling import pooling as pooling_called

WIDTH, FEATURES, EDGE_FEATURES = 6, 5, 3
SIZES = (4, 1, 9)  # nodes of the graphs
KNOWN = Vocabulary.of([0x10, 0x20, 0x700, 0x1FFF_FFFF])
ENCODINGS = ("none", "hash", "lookup")


def pooling(name: str, width: int = WIDTH):
    torch.manual_seed(0)
    return pooling_called(name)(width)


@pytest.fixture
def nodes() -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of the nodes of three graphs, and the graph of each."""
    generator = torch.Generator().manual_seed(1)
    graph = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    return torch.randn(len(graph), WIDTH, generator=generator), graph


@pytest.mark.parametrize("name", names("poolings"))
def test_a_pooling_is_as_wide_as_it_says(name, nodes):
    pool = pooling(name)
    assert pool(*nodes, len(SIZES)).shape == (len(SIZES), pool.width)


def test_the_largest_values_and_their_gradients_are_those_of_torch_geometric(nodes):
    h, graph = nodes
    h[0] = h[1]  # a tie
    found = []
    for pool in (max_pool, global_max_pool):
        of = h.clone().requires_grad_()
        largest = pool(of, graph, len(SIZES) + 1)  # the last graph has no node
        largest.square().sum().backward()
        found += [largest.detach(), of.grad]
    torch.testing.assert_close(found[:2], found[2:])


@pytest.mark.parametrize("name", names("poolings"))
def test_the_order_of_nodes_changes_nothing(name, nodes):
    h, graph = nodes
    order = torch.randperm(len(h), generator=torch.Generator().manual_seed(2))
    pool = pooling(name)
    torch.testing.assert_close(pool(h[order], graph[order], len(SIZES)), pool(h, graph, len(SIZES)))


@pytest.mark.parametrize("name", names("poolings"))
def test_a_batch_gives_what_its_graphs_give_alone(name, nodes):
    pool = pooling(name)
    alone = [pool(h, torch.zeros(len(h), dtype=torch.long), 1) for h in nodes[0].split(SIZES)]
    torch.testing.assert_close(pool(*nodes, len(SIZES)), torch.cat(alone))


def test_one_bad_node_of_fifty_drowns_in_the_mean_only():
    normal = torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(3))
    bad, graph = normal.clone(), torch.zeros(50, dtype=torch.long)
    bad[17] += 100
    change = {name: (pooling(name)(bad, graph, 1) - pooling(name)(normal, graph, 1)).abs().max() for name in names("poolings")}
    assert change["mean"] == pytest.approx(100 / 50, rel=1e-3)
    assert min(change["max"], change["mean_max"]) > 40 * change["mean"]


def test_attention_hears_the_nodes_that_its_gate_opens_for(nodes):
    pool = pooling("attention")
    gate = pool.gate.gate_nn
    torch.nn.init.constant_(gate.weight, 0.0)
    torch.testing.assert_close(pool(*nodes, len(SIZES)), pooling("mean")(*nodes, len(SIZES)))
    with torch.no_grad():
        gate.weight[0, 0] = 1e4  # only the node with the largest first value
    loudest = torch.stack([h[h[:, 0].argmax()] for h in nodes[0].split(SIZES)])
    torch.testing.assert_close(pool(*nodes, len(SIZES)), loudest)


def make(num_ids: int, **options: object) -> GAT:
    torch.manual_seed(0)
    config = resolve("gat", "small", **{f"gat.{name}": value for name, value in options.items()})
    return GAT(config.gat, num_ids, FEATURES, EDGE_FEATURES).eval()


def batch(id_index: torch.Tensor | None = None) -> GraphBatch:
    """Three graphs, each a ring."""
    generator = torch.Generator().manual_seed(4)
    graph = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    count = len(graph)
    target = torch.cat([(torch.arange(size) + 1) % size + sum(SIZES[:g]) for g, size in enumerate(SIZES)])
    return GraphBatch(
        torch.zeros(count, dtype=torch.long) if id_index is None else id_index,
        torch.randn(count, FEATURES, generator=generator),
        torch.stack([torch.arange(count), target]),
        torch.randn(count, EDGE_FEATURES, generator=generator),
        graph,
        torch.zeros(len(SIZES), dtype=torch.long),
        torch.zeros(count, dtype=torch.long),
    )


@pytest.mark.parametrize("name", names("poolings"))
def test_the_classifier_reads_every_pooling(name):
    network = make(1, pooling=name)
    output = classify(network, batch())
    assert output.embedding.shape == (len(SIZES), network.pooling.width)
    assert torch.isfinite(output.logits).all()
    assert len(output.logits.unique()) == 2 * len(SIZES)


@pytest.mark.parametrize("name", names("poolings"))
def test_the_worst_node_raises_the_logit_of_attack_by_its_own(name):
    network = make(1, pooling=name)
    without = deepcopy(network)
    without.node_head = None
    output, bare = classify(network, batch()), classify(without, batch())
    worst = global_max_pool(output.node_logit[:, None], batch().graph)
    torch.testing.assert_close(output.logits - bare.logits, torch.cat([torch.zeros_like(worst), worst], 1))
    assert len(output.node_logit.unique()) == sum(SIZES)


def test_without_a_node_head_no_node_is_accused():
    network = make(1, node_head=False)
    assert network.node_head is None
    assert not classify(network, batch()).node_logit.any()


@pytest.mark.parametrize(
    ("encoding", "num_ids", "unknown"),
    [("none", 1, {UNKNOWN}), ("hash", 33, set(range(1, 33))), ("lookup", 5, {UNKNOWN})],
)
def test_an_encoding_says_how_many_ids_there_are_and_what_a_stranger_is(encoding, num_ids, unknown):
    seen = Vocabulary.seen_through(KNOWN, IdentityConfig(encoding=encoding, buckets=32))
    assert seen.num_ids == num_ids
    assert set(seen.encode(np.arange(0x100, 0x600, dtype=np.uint32)).tolist()) == unknown


def test_lookup_knows_its_ids_in_ascending_order_and_none_knows_no_id():
    known = np.array(KNOWN.ids, np.uint32)
    lookup, none = (Vocabulary.seen_through(KNOWN, IdentityConfig(encoding=encoding)) for encoding in ("lookup", "none"))
    assert lookup.encode(known).tolist() == [1, 2, 3, 4]
    assert none.encode(known).tolist() == [UNKNOWN] * 4


@given(st.lists(st.integers(0, 2**29 - 1), min_size=1, max_size=40), st.integers(1, 100), st.randoms(use_true_random=False))
def test_the_bucket_of_an_id_is_its_own_whatever_else_is_known_or_asked(ids, buckets, random):
    identity = IdentityConfig(encoding="hash", buckets=buckets)
    one, other = Vocabulary.seen_through(KNOWN, identity), Vocabulary.seen_through(Vocabulary.of(ids), identity)
    assert one == other
    alone = {identifier: int(one.encode(np.array([identifier], np.uint32))[0]) for identifier in ids}
    random.shuffle(ids)
    assert one.encode(np.array(ids, np.uint32)).tolist() == [alone[identifier] for identifier in ids]
    assert all(UNKNOWN < bucket < one.num_ids for bucket in alone.values())


def test_buckets_are_about_equally_full():
    seen = Vocabulary.seen_through(KNOWN, IdentityConfig(encoding="hash", buckets=64))
    filled = np.bincount(seen.encode(np.arange(0x800, dtype=np.uint32)), minlength=65)[1:]
    assert filled.min() > 0.5 * 0x800 / 64
    assert filled.max() < 2 * 0x800 / 64


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_network_tells_ids_apart_unless_it_is_told_none(encoding):
    seen = Vocabulary.seen_through(KNOWN, IdentityConfig(encoding=encoding))
    network = make(seen.num_ids)
    ids = np.resize(np.array(KNOWN.ids, np.uint32), sum(SIZES))
    first, second = (classify(network, batch(torch.from_numpy(seen.encode(order)))).logits for order in (ids, ids[::-1].copy()))
    assert torch.equal(first, second) == (encoding == "none")

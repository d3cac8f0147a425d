"""Random windows, and networks whose statistics are not those of the first day."""

import numpy as np
import torch

from config import resolve
from kdgat_models.inference.windows import WindowGraphs
from kdgat_models.networks.classifier import ClassifierOutput
from kdgat_models.networks.gat import GAT

IDS, FEATURES, EDGE_FEATURES = 7, 9, 5


def windows(rng, nodes, edges_per_node=2.0, features=FEATURES):
    """A window for each number in `nodes`; of one node, with loops alone."""
    sizes = np.asarray(nodes)
    edges = np.maximum((sizes * edges_per_node).astype(int), 1)
    node_offsets, edge_offsets = (np.concatenate([[0], np.cumsum(counts)]) for counts in (sizes, edges))
    ends = [
        np.concatenate([rng.integers(0, n, e) for n, e in zip(sizes, edges, strict=True)]).astype(np.int16) for _ in range(2)
    ]
    x = rng.normal(1, 2, (node_offsets[-1], features)).astype(np.float32)
    edge_attr = rng.normal(-1, 3, (edge_offsets[-1], EDGE_FEATURES)).astype(np.float32)
    return WindowGraphs(rng.integers(0, IDS, node_offsets[-1]), x, *ends, edge_attr, node_offsets, edge_offsets)


def chosen(graphs, order):
    """These windows of `graphs`, in this order."""
    nodes = [np.arange(graphs.node_offsets[g], graphs.node_offsets[g + 1]) for g in order]
    edges = [np.arange(graphs.edge_offsets[g], graphs.edge_offsets[g + 1]) for g in order]
    of_nodes, of_edges = np.concatenate(nodes), np.concatenate(edges)
    offsets = [np.concatenate([[0], np.cumsum([len(rows) for rows in of])]) for of in (nodes, edges)]
    ends = (graphs.source[of_edges], graphs.target[of_edges])
    return WindowGraphs(graphs.id_index[of_nodes], graphs.x[of_nodes], *ends, graphs.edge_attr[of_edges], *offsets)


def torch_arguments(graphs):
    """The windows as the arguments of a classifier in PyTorch."""
    count = len(graphs.node_offsets) - 1
    shift = np.repeat(graphs.node_offsets[:-1], np.diff(graphs.edge_offsets))
    edge_index = np.stack([graphs.source + shift, graphs.target + shift])
    graph = np.repeat(np.arange(count), np.diff(graphs.node_offsets))
    arrays = (graphs.id_index, graphs.x, edge_index, graphs.edge_attr, graph)
    return (*(torch.from_numpy(array) for array in arrays), count)


@torch.no_grad()
def in_torch(network, graphs) -> ClassifierOutput:
    return network(*torch_arguments(graphs))


def network(seed=0, features=FEATURES, **options):
    """A network after some passes in training mode, so that what is normalised is not left as it came."""
    torch.manual_seed(seed)
    settings = {"gat.hidden": 6, "gat.layers": 2, "gat.heads": 3, "gat.embedding_dim": 4}
    made = GAT(resolve("gat", "tiny", **{**settings, **options}).gat, IDS, features, EDGE_FEATURES)
    made.train()
    for _ in range(4):
        in_torch(made, windows(np.random.default_rng(seed), [5, 9, 20], features=features))
    return made.eval()

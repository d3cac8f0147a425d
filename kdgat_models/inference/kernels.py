"""A graph attention classifier as machine code: one window after the other, in single precision.

No sum goes over more than one window, and each is taken in the same order whatever windows come with it, so that the result of
a window does not depend, in a single bit, on the company that it keeps. Against PyTorch the order of the sums is another, which
shows in the last digits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.files import digest_files
from kdgat_models.inference.attention import Incoming, gat, gatv2, sort_incoming, transformer
from kdgat_models.inference.lanes import add_scaled
from kdgat_models.inference.numerics import FAST, Floats, elu, softmax
from kdgat_models.inference.product import product
from kdgat_models.inference.windows import WindowGraphs

TRANSFORMER, GATV2, GAT_PUBLISHED = range(3)
MEAN, MAX, MEAN_MAX, ATTENTION = range(4)


class Sizes(NamedTuple):
    """What a network is: all whole numbers, so that one compiled function serves every network."""

    conv: int  # TRANSFORMER, GATV2 or GAT_PUBLISHED
    pooling: int  # MEAN, MAX, MEAN_MAX or ATTENTION
    layers: int
    heads: int
    outputs: int  # of a head
    ids: int
    features: int  # of a node, without its ID
    edge_features: int
    hidden: int  # of the node head; 0: there is none
    fc_layers: int
    projected: int  # numbers that a layer makes of each node before nodes hear each other; after them, the node head's
    replace_loops: int  # 1: the loops that a window has are left out


class Network(NamedTuple):
    """A trained network; what `values` holds is listed in `packed.pack`."""

    values: Floats  # all arrays, one after the other
    at: NDArray[np.int64]  # where each begins
    sizes: Sizes


class Scratch(NamedTuple):
    """What is written over for each window, with room for `most` nodes."""

    incoming: Incoming
    projected: Floats  # [most, projected + hidden, padded]
    head: Floats  # [most, hidden, padded], the hidden layer of the node head so far
    layers: Floats  # [layers, most, width]
    pooled: Floats  # [2 * layers * width]


@numba.njit(cache=True, nogil=True)
def _most(offsets: NDArray[np.int64]) -> int:
    """The largest difference of two offsets."""
    most = 0
    for g in range(len(offsets) - 1):
        most = max(most, offsets[g + 1] - offsets[g])
    return most


@numba.njit(cache=True, nogil=True)
def _matrix(values: Floats, at: NDArray[np.int64], place: int, columns: int) -> Floats:
    """The array at a place, as a matrix; without rows if it has no columns."""
    if columns == 0:
        return values[:0].reshape(0, 1)
    begin, end = at[place], at[place + 1]
    return values[begin:end].reshape((end - begin) // columns, columns)


@numba.njit(cache=True, nogil=True)
def _add_head(projected: Floats, sizes: Sizes, fresh: bool, head: Floats) -> None:
    """Add the columns of the node head, or begin with them."""
    for i in range(len(projected)):
        for j in range(sizes.hidden):
            head[i, j] = projected[i, sizes.projected + j] + (np.float32(0) if fresh else head[i, j])


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _node_logits(head: Floats, output: Floats, node_logit: Floats) -> Any:
    """Write the logits of the nodes from the hidden layer of their head; returns the largest."""
    hidden = len(output) - 1
    for i in range(len(head)):
        total = output[hidden]
        for j in range(hidden):
            total += max(head[i, j], np.float32(0)) * output[j]
        node_logit[i] = total
    return node_logit.max()


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _pool(layer_out: Floats, n: int, pooling: int, gate: Floats, pooled: Floats) -> int:
    """From the first n nodes of [layers, nodes, width] to one vector; returns how long it is."""
    layers, _, width = layer_out.shape
    jumped = layers * width
    heard = np.full((n, 1), np.float32(1) / np.float32(n), np.float32)
    if pooling == ATTENTION:
        heard[:] = gate[jumped]
        for layer in range(layers):
            for i in range(n):
                for c in range(width):
                    heard[i, 0] += layer_out[layer, i, c] * gate[layer * width + c]
        softmax(heard, 0, n)
    if pooling != MAX:
        _weighted(layer_out, heard.reshape(-1), pooled)
    if pooling in (MAX, MEAN_MAX):
        largest = pooled[jumped:] if pooling == MEAN_MAX else pooled
        for layer in range(layers):
            largest[layer * width : (layer + 1) * width] = layer_out[layer, 0]
            for i in range(n):
                for c in range(width):
                    largest[layer * width + c] = max(largest[layer * width + c], layer_out[layer, i, c])
    return 2 * jumped if pooling == MEAN_MAX else jumped


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _weighted(layer_out: Floats, heard: Floats, pooled: Floats) -> None:
    """The weighted sum over the nodes, layer after layer."""
    layers, _, width = layer_out.shape
    for layer in range(layers):
        pooled[layer * width : (layer + 1) * width] = 0
        nodes = layer_out[layer].reshape(-1)
        for i in range(len(heard)):
            add_scaled(heard[i], nodes, i * width, pooled, layer * width, width)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _classify(pooled: Floats, values: Floats, at: NDArray[np.int64], layers: int, logits: Floats) -> None:
    """Linear layers with ReLU between them; the last one's outputs are the logits."""
    row = pooled
    for layer in range(layers):
        out = values[at[2 * layer + 1] : at[2 * layer + 2]].copy()
        weight = _matrix(values, at, 2 * layer, len(out))
        for i in range(len(row)):
            out += row[i] * weight[i]
        row = np.maximum(out, np.float32(0)) if layer < layers - 1 else out
    logits[:] = row


@numba.njit(cache=True, nogil=True)
def _scratch(network: Network, graphs: WindowGraphs) -> Scratch:
    """Room for the largest window."""
    sizes, nodes, edges = network.sizes, _most(graphs.node_offsets), _most(graphs.edge_offsets)
    width, columns = sizes.heads * sizes.outputs, (network.at[1] - network.at[0]) // sizes.ids
    padded_hidden = (network.at[2 + 5 * sizes.layers] - network.at[1 + 5 * sizes.layers]) // width
    incoming = Incoming(
        np.empty(nodes + 1, np.int32),
        np.empty(edges + nodes, np.int32),
        np.empty(edges + nodes, np.int32),
        np.empty((edges + nodes, sizes.heads), np.float32),
    )
    return Scratch(
        incoming,
        np.empty((nodes, columns), np.float32),
        np.zeros((nodes, padded_hidden), np.float32),
        np.empty((sizes.layers, nodes, width), np.float32),
        np.empty(2 * sizes.layers * width, np.float32),
    )


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _layer(network: Network, layer: int, h: Floats, attr: Floats, scratch: Scratch, out: Floats) -> None:
    """out [n, width] = one attention layer on h [n, inputs]; `scratch.projected` has the constant part of each node."""
    values, at, sizes = network
    first, width, n = 1 + 5 * layer, sizes.heads * sizes.outputs, len(h)
    projected = scratch.projected
    product(h, values[at[first] : at[first + 1]], projected[:n])
    _add_head(projected[:n], sizes, layer == 0, scratch.head)
    edge, attention = _matrix(values, at, first + 2, width), values[at[first + 3] : at[first + 4]]
    for i in range(n):
        for c in range(width):
            out[i, c] = values[at[first + 4] + c]
    if sizes.conv == TRANSFORMER:
        transformer(projected, scratch.incoming, attr, edge, out)
    elif sizes.conv == GATV2:
        gatv2(projected, scratch.incoming, attr, edge, attention, out)
    else:
        gat(projected, scratch.incoming, out)
    elu(out)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _window(network: Network, window: WindowGraphs, scratch: Scratch, logits: Floats, node_logit: Floats) -> None:
    """Write the logits of one window, whose offsets do not count."""
    values, at, sizes = network
    projected, n = scratch.projected, len(window.x)
    sort_incoming(window.source, window.target, n, sizes.replace_loops, scratch.incoming)
    table = _matrix(values, at, 0, projected.shape[1])
    for i in range(n):
        for c in range(projected.shape[1]):
            projected[i, c] = table[window.id_index[i], c]
    h = window.x
    for layer in range(sizes.layers):
        if layer > 0:
            for i in range(n):
                for c in range(projected.shape[1]):
                    projected[i, c] = values[at[2 + 5 * layer] + c]
        out = scratch.layers[layer, :n]
        _layer(network, layer, h, window.edge_attr, scratch, out)
        h = out
    after = 1 + 5 * sizes.layers
    worst = np.float32(0)
    if sizes.hidden > 0:
        product(h, values[at[after] : at[after + 1]], scratch.head[:n])
        worst = _node_logits(scratch.head[:n], values[at[after + 1] : at[after + 2]], node_logit)
    size = _pool(scratch.layers, n, sizes.pooling, values[at[after + 2] : at[after + 3]], scratch.pooled)
    _classify(scratch.pooled[:size], values, at[after + 3 :], sizes.fc_layers, logits)
    logits[1] += worst


def _compiled(code: str) -> Callable[[Network, WindowGraphs, Floats, Floats], None]:
    """`run`. `code` is a digest of all files that it is compiled from: numba itself looks at the outermost function's alone."""

    @numba.njit(cache=True, nogil=True)
    def _run(network: Network, graphs: WindowGraphs, logits: Floats, node_logit: Floats) -> None:
        """Write logits [G, 2] and node_logit [N] of graphs that `windows.check` found WITHIN."""
        _ = code
        scratch = _scratch(network, graphs)
        for g in range(len(graphs.node_offsets) - 1):
            n0, n1 = graphs.node_offsets[g], graphs.node_offsets[g + 1]
            e0, e1 = graphs.edge_offsets[g], graphs.edge_offsets[g + 1]
            window = WindowGraphs(
                graphs.id_index[n0:n1],
                graphs.x[n0:n1],
                graphs.source[e0:e1],
                graphs.target[e0:e1],
                graphs.edge_attr[e0:e1],
                graphs.node_offsets,
                graphs.edge_offsets,
            )
            _window(network, window, scratch, logits[g], node_logit[n0:n1])

    return _run


run = _compiled(
    digest_files(Path(__file__).with_name(f"{name}.py") for name in ("kernels", "attention", "numerics", "windows"))
)

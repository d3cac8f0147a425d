"""The weights of a trained classifier as one array, folded for use: what the compiled code reads.

Batch normalisation is affine once training is over (Ioffe & Szegedy 2015, section 3.1), so it becomes a part of the linear maps
that follow it; the embedding becomes a table of what it adds to the first of them. All of it is computed in double precision.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import AttentionalAggregation
from torch_geometric.nn.conv import GATConv, GATv2Conv, TransformerConv

from kdgat_models.errors import UnsupportedError
from kdgat_models.inference.kernels import ATTENTION, GAT_PUBLISHED, GATV2, MAX, MEAN, MEAN_MAX, TRANSFORMER, Network, Sizes
from kdgat_models.inference.product import as_panels, padded
from kdgat_models.networks.convolution import EdgeAware
from kdgat_models.networks.convolutions.gat import GatConvolution
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.pooling import Pooling
from kdgat_models.networks.poolings.attention import Attention
from kdgat_models.networks.poolings.max import Max
from kdgat_models.networks.poolings.mean import Mean
from kdgat_models.networks.poolings.mean_max import MeanMax

POOLINGS: dict[type[Pooling], int] = {Mean: MEAN, Max: MAX, MeanMax: MEAN_MAX, Attention: ATTENTION}

Matrix = NDArray[np.float64]


class Layer(NamedTuple):
    """One attention layer. Columns of `weight` are, of each kind of convolution,

    transformer: query / sqrt(outputs), key, value, skip, and for each head the query seen through the edge features;
    gatv2: source, target; gat: value, and for each head what source and target add to the score.
    """

    weight: Matrix  # [inputs, projected]
    bias: Matrix  # [projected]
    edge: Matrix  # [edge features, width], what edge features add; empty of gat
    attention: Matrix  # [width], of gatv2; else empty
    out_bias: Matrix  # [width]


class Folded(NamedTuple):
    """A whole network; the node head, if there is one, has its share in the columns of every layer's weight."""

    sizes: Sizes
    table: Matrix  # [ids, projected + hidden], what an ID adds to the first layer, with the bias of all
    layers: list[Layer]  # `weight` and `bias` have projected + hidden columns; the first reads features alone
    head_last: Matrix  # [width, hidden], of the last layer's outputs
    head_output: Matrix  # [hidden + 1], the last is the bias
    gate: Matrix  # [layers * width + 1] of an attention pooling, the last is the bias; else empty
    classifier: list[tuple[Matrix, Matrix]]  # weight [inputs, outputs] and bias of each linear layer


def fold(network: GAT) -> Folded:
    """The weights of a trained network.

    Raises:
        UnsupportedError: the network has a part that is not of this package, or not known here; says which.
    """
    layers = [_layer(conv) for conv in network.convs]
    sizes = _sizes(network, layers)
    head = _Head.of(network, sizes)
    inputs = network.embedding.embedding_dim
    scale, shift = _norm(network.norm, sizes.features)
    table, entry = _double(network.embedding.weight), np.hstack([layers[0].weight, head.entry])
    whole = table @ entry[:inputs] + shift @ entry[inputs:] + np.concatenate([layers[0].bias, head.bias])
    weights = [scale[:, None] * entry[inputs:]]
    weights += [np.hstack([layer.weight, part]) for layer, part in zip(layers[1:], head.layers, strict=False)]
    biases = [np.concatenate([layer.bias, np.zeros(sizes.hidden)]) for layer in layers]
    made = [layer._replace(weight=w, bias=b) for layer, w, b in zip(layers, weights, biases, strict=True)]
    return Folded(sizes, whole, made, head.layers[-1], head.output, _gate(network), _classifier(network.classifier))


def pack(network: GAT) -> Network:
    """The folded weights of a trained network as one array, in the order of `Folded`, each layer's fields one after the other.

    What is multiplied with more than one row lies in panels (`product.as_panels`); the table and the biases are as wide.

    Raises:
        UnsupportedError: as `fold`.
    """
    folded = fold(network)
    columns = padded(folded.sizes.projected + folded.sizes.hidden)
    arrays = [_widened(folded.table, columns)]
    for layer in folded.layers:
        bias = _widened(layer.bias[None], columns)
        arrays += [as_panels(layer.weight), bias, layer.edge, layer.attention, layer.out_bias]
    arrays += [as_panels(folded.head_last), folded.head_output, folded.gate]
    arrays += [part for linear in folded.classifier for part in linear]
    at = np.cumsum([0, *(array.size for array in arrays)])
    values = np.concatenate([array.ravel() for array in arrays]).astype(np.float32)
    return Network(values, at.astype(np.int64), folded.sizes)


def _widened(matrix: Matrix, columns: int) -> Matrix:
    """With columns of zeros at its end."""
    return np.pad(matrix, ((0, 0), (0, columns - matrix.shape[1])))


def _sizes(network: GAT, layers: list[Layer]) -> Sizes:
    first = _attention_of(network.convs[0])
    if type(network) is not GAT:
        raise UnsupportedError(f"networks of class {type(network).__name__} are not compiled: only GAT itself is")
    if type(network.pooling) not in POOLINGS:
        raise UnsupportedError(
            f"the pooling {type(network.pooling).__name__} is not compiled: use mean, max, mean_max or attention"
        )
    kind = {TransformerConv: TRANSFORMER, GATv2Conv: GATV2, GATConv: GAT_PUBLISHED}[type(first)]
    features = layers[0].weight.shape[0] - network.embedding.embedding_dim
    return Sizes(
        conv=kind,
        pooling=POOLINGS[type(network.pooling)],
        layers=len(layers),
        heads=int(first.heads),
        outputs=int(first.out_channels),
        ids=network.embedding.num_embeddings,
        features=features,
        edge_features=len(layers[0].edge),
        hidden=_linears(network.node_head)[0].out_features if network.node_head is not None else 0,
        fc_layers=len(_linears(network.classifier)),
        projected=layers[0].weight.shape[1],
        replace_loops=int(network.self_loops == "replace"),
    )


def _attention_of(conv: nn.Module) -> Any:
    """The layer of torch-geometric that a convolution wraps."""
    inner = conv.conv if isinstance(conv, EdgeAware | GatConvolution) else conv
    if not isinstance(inner, tuple(FOLDS)):
        raise UnsupportedError(f"the convolution {type(conv).__name__} is not compiled: use transformer, gatv2 or gat")
    plain = (
        inner.concat,
        getattr(inner, "beta", False),
        getattr(inner, "residual", False),
        getattr(inner, "share_weights", False),
    )
    if plain != (True, False, False, False):
        raise UnsupportedError(f"{type(inner).__name__} is only compiled with its options as they are by default")
    return inner


def _layer(conv: nn.Module) -> Layer:
    inner = _attention_of(conv)
    norm = conv.norm if isinstance(conv, EdgeAware) else None
    return FOLDS[type(inner)](inner, norm)


def _transformer(conv: TransformerConv, norm: nn.Module) -> Layer:
    """Shi et al. 2021, eq. 3-4: (q . (k + e)) / sqrt(c) is a dot product of q with k and one of E'q with the edge features."""
    edge = _weight(conv.lin_edge)  # [edge features, width]
    scale, shift = _norm(norm, len(edge))
    always, edge = shift @ edge, scale[:, None] * edge
    query, key, value, skip = (_weight(part) for part in (conv.lin_query, conv.lin_key, conv.lin_value, conv.lin_skip))
    query, query_bias = query / np.sqrt(conv.out_channels), _bias(conv.lin_query) / np.sqrt(conv.out_channels)
    weight = np.hstack([query, key, value, skip, _through_edges(query, edge, conv.heads)])
    seen = _through_edges(query_bias[None], edge, conv.heads)[0]
    bias = [query_bias, _bias(conv.lin_key) + always, _bias(conv.lin_value) + always, _bias(conv.lin_skip), seen]
    return Layer(weight, np.concatenate(bias), edge, np.zeros(0), np.zeros(query.shape[1]))


def _through_edges(query: Matrix, edge: Matrix, heads: int) -> Matrix:
    """[n, width] and [edge features, width] -> [n, heads * edge features]."""
    n, features = len(query), len(edge)
    return np.einsum("nhc,fhc->nhf", query.reshape(n, heads, -1), edge.reshape(features, heads, -1)).reshape(n, -1)


def _gatv2(conv: GATv2Conv, norm: nn.Module) -> Layer:
    """Brody et al. 2022, eq. 7."""
    edge = _weight(conv.lin_edge)
    scale, shift = _norm(norm, len(edge))
    weight = np.hstack([_weight(conv.lin_l), _weight(conv.lin_r)])
    bias = np.concatenate([_bias(conv.lin_l), _bias(conv.lin_r) + shift @ edge])
    return Layer(weight, bias, scale[:, None] * edge, _double(conv.att).ravel(), _double(conv.bias))


def _gat(conv: GATConv, norm: None) -> Layer:
    """Velickovic et al. 2018, eq. 1-6."""
    del norm  # it reads no edge features
    value = _weight(conv.lin)
    by_head = value.reshape(len(value), conv.heads, -1)
    scores = [np.einsum("nhc,hc->nh", by_head, _double(att)[0]) for att in (conv.att_src, conv.att_dst)]
    weight = np.hstack([value, *scores])
    return Layer(weight, np.zeros(weight.shape[1]), np.zeros((0, value.shape[1])), np.zeros(0), _double(conv.bias))


FOLDS: dict[type, Callable[..., Layer]] = {TransformerConv: _transformer, GATv2Conv: _gatv2, GATConv: _gat}


class _Head(NamedTuple):
    """The node head, its first layer cut by what it reads; nothing has columns if there is no head."""

    entry: Matrix  # [embedding and features, hidden]
    layers: list[Matrix]  # of each layer, [width, hidden]
    bias: Matrix  # [hidden]
    output: Matrix  # [hidden + 1], the last is the bias

    @classmethod
    def of(cls, network: GAT, sizes: Sizes) -> "_Head":
        inputs, width = network.embedding.embedding_dim + sizes.features, sizes.heads * sizes.outputs
        if network.node_head is None:
            return cls(np.zeros((inputs, 0)), [np.zeros((width, 0))] * sizes.layers, np.zeros(0), np.zeros(1))
        first, last = _linears(network.node_head)
        weight = _weight(first)
        layers = [weight[inputs + layer * width : inputs + (layer + 1) * width] for layer in range(sizes.layers)]
        return cls(weight[:inputs], layers, _bias(first), np.append(_weight(last).ravel(), _bias(last)))


def _gate(network: GAT) -> Matrix:
    if not isinstance(network.pooling, Attention):
        return np.zeros(0)
    assert isinstance(network.pooling.gate, AttentionalAggregation)
    (linear,) = _linears(network.pooling.gate.gate_nn)
    return np.append(_weight(linear).ravel(), _bias(linear))


def _classifier(classifier: nn.Module) -> list[tuple[Matrix, Matrix]]:
    return [(_weight(linear), _bias(linear)) for linear in _linears(classifier)]


def _linears(module: Any) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def _norm(norm: nn.Module | None, features: int) -> tuple[Matrix, Matrix]:
    """Scale and shift [features] of a batch normalisation as it is once training is over; of none, 1 and 0."""
    if not isinstance(norm, nn.BatchNorm1d):
        return np.ones(features), np.zeros(features)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = _double(norm.weight) / np.sqrt(_double(norm.running_var) + norm.eps)
    return scale, _double(norm.bias) - _double(norm.running_mean) * scale


def _weight(linear: Any) -> Matrix:
    """[inputs, outputs]."""
    return _double(linear.weight).T


def _bias(linear: Any) -> Matrix:
    """[outputs], zeros if there is none."""
    return np.zeros(len(linear.weight)) if linear.bias is None else _double(linear.bias)


def _double(tensor: Tensor) -> Matrix:
    return tensor.detach().cpu().numpy().astype(np.float64)

"""Contracts of what networks are, and of what they are built of."""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from config.schema import GatTraining, VgaeTraining
from config.sections import GATArchitecture, VGAEArchitecture
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.schema import SchemaRecord
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.networks.autoencoder import Autoencoder, AutoencoderOutput
from kdgat_models.networks.classifier import Classifier, ClassifierOutput
from kdgat_models.networks.convolution import Convolution
from kdgat_models.networks.layers import with_self_loops
from kdgat_models.networks.pooling import Pooling
from kdgat_models.networks.role import AUTOENCODER, CLASSIFIER, Role
from kdgat_models.testing.contract import IDS, SIZES, alone, graphs, made, require, require_close, require_shape, tried

INPUTS, OUTPUTS, HEADS, EDGE_FEATURES = 5, 3, 2, 4
GAT = GATArchitecture(hidden=6, layers=2, heads=2, embedding_dim=3)
VGAE = VGAEArchitecture(hidden=(8, 6, 4), heads=2, decoder_heads=2, embedding_dim=3)


def check_convolution(make: Convolution) -> None:
    """A convolution: (inputs, outputs of a head, heads, edge features) -> layer over nodes and edges.

    Raises:
        BrokenContractError: the layer has another width than outputs * heads, depends on the order of edges or on nodes that
            no edge leads from, draws numbers outside of training, or its gradients are not finite.
    """
    layer = made("making the layer", lambda: make(INPUTS, OUTPUTS, HEADS, EDGE_FEATURES)).eval()
    batch = graphs(INPUTS, EDGE_FEATURES)
    edges, attributes = with_self_loops(batch.edge_index, batch.edge_attr, len(batch.x))

    def run(x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        with tried("the layer"):
            return require_shape("the result of the layer", layer(x, edge_index, edge_attr), (len(x), OUTPUTS * HEADS))

    whole = run(batch.x, edges, attributes)
    require_close("the layer was run twice outside of training", run(batch.x, edges, attributes), whole)
    order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))
    require_close("the edges were put into another order", run(batch.x, edges[:, order], attributes[order]), whole)
    changed = torch.cat([batch.x[:-1], batch.x[-1:] + 100])  # the last graph has the last node
    first = sum(SIZES[:-1])
    require_close("a node of another graph was changed", run(changed, edges, attributes)[:first], whole[:first])
    _require_gradients(layer.train(), lambda: run(batch.x, edges, attributes))
    _require_state(layer, lambda: make(INPUTS, OUTPUTS, HEADS, EDGE_FEATURES))


def check_pooling(make: Callable[[int], Pooling]) -> None:
    """A pooling: width of the nodes -> layer that has the `width` of its result.

    Raises:
        BrokenContractError: the result has another width, depends on the order of nodes or on what else is in the batch, has no
            row for a graph without nodes, or its gradients are not finite.
    """
    layer = made("making the pooling", lambda: make(INPUTS)).eval()
    width = getattr(layer, "width", None)
    require(isinstance(width, int), f"the pooling's `width` is {width!r}; expected the width of its result")
    batch = graphs(INPUTS, EDGE_FEATURES)

    def run(h: Tensor, graph: Tensor, count: int) -> Tensor:
        with tried("the pooling"):
            return require_shape("the result of the pooling", layer(h, graph, count), (count, int(width or 0)))

    whole = run(batch.x, batch.graph, len(SIZES))
    more = run(batch.x, batch.graph, len(SIZES) + 1)
    require_close("a graph without nodes came last", more[:-1], whole)
    order = torch.cat([torch.arange(SIZES[0]).flip(0), torch.arange(SIZES[0], len(batch.x))])
    require_close("the nodes of a graph were put into another order", run(batch.x[order], batch.graph, len(SIZES)), whole)
    single = [run(batch.x[batch.graph == number], batch.graph[batch.graph == number] * 0, 1) for number in range(len(SIZES))]
    require_close("each graph was pooled alone", torch.cat(single), whole)
    h = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(run(h, batch.graph, len(SIZES)).square().sum(), h)
    require(bool(gradient.isfinite().all()), "gradients of the pooling are not finite")
    _require_state(layer, lambda: make(INPUTS))


def check_network(network: type[nn.Module], role: Role) -> None:
    """A network: a class with a `role`, made by its `from_config`, that does what a network of its role must do.

    Raises:
        BrokenContractError: it has another role, gives something else or another shape, depends on what else is in the batch,
            draws numbers outside of training, cannot be restored, or its gradients are not finite.
    """
    require(role in (CLASSIFIER, AUTOENCODER), f"there is no role {role!r}; there are: {CLASSIFIER}, {AUTOENCODER}")
    said = getattr(network, "role", None)
    require(said == role, f"the class attribute `role` is {said!r}; expected {role!r}")
    for name in ("relative", "reference"):
        schema = feature_schema(name).describe()
        if issubclass(network, Classifier):
            for node_head in (True, False):
                _check_classifier(network, schema, node_head)
        elif issubclass(network, Autoencoder):
            _check_autoencoder(network, schema)
        else:
            require(False, f"{network.__name__} is neither a Classifier nor an Autoencoder; derive it from the one that it is")


def _check_classifier(network: type[Classifier], schema: SchemaRecord, node_head: bool) -> None:
    config = GatTraining(gat=GAT.model_copy(update={"node_head": node_head}))

    def make() -> Classifier:
        return network.from_config(config, IDS, schema)

    model = made("from_config", make).eval()
    batch = graphs(len(schema["node_features"]) - 1, len(schema["edge_features"]))

    def run(some: GraphBatch) -> ClassifierOutput:
        with tried("the classifier"):
            output = model(some.id_index, some.x, some.edge_index, some.edge_attr, some.graph, some.num_graphs)
        require(isinstance(output, ClassifierOutput), f"forward gave a {type(output).__name__}; expected a ClassifierOutput")
        require_shape("logits", output.logits, (some.num_graphs, 2))
        require_shape("node_logit", output.node_logit, (len(some.x),))
        require_shape("embedding", output.embedding, (some.num_graphs, output.embedding.shape[-1]))
        return output

    whole = run(batch)
    require_close("the classifier was run twice outside of training", run(batch).logits, whole.logits)
    single = [run(alone(batch, number)) for number in range(len(SIZES))]
    require_close("each graph was classified alone", torch.cat([output.logits for output in single]), whole.logits)
    require_close("each graph was classified alone", torch.cat([output.node_logit for output in single]), whole.node_logit)
    require(node_head or not whole.node_logit.any(), "gat.node_head is off, and node_logit is not zero")
    _require_gradients(model.train(), lambda: run(batch).logits)
    _require_state(model, make)


def _check_autoencoder(network: type[Autoencoder], schema: SchemaRecord) -> None:
    config = VgaeTraining(vgae=VGAE)

    def make() -> Autoencoder:
        return network.from_config(config, IDS, schema)

    model = made("from_config", make).eval()
    batch = graphs(len(schema["node_features"]) - 1, len(schema["edge_features"]))
    require(isinstance(model.arch, VGAEArchitecture), f"`arch` is a {type(model.arch).__name__}; expected config.vgae")
    latent, features = model.latent, batch.x.shape[1]

    def run(some: GraphBatch, noise: Tensor | None = None) -> AutoencoderOutput:
        with tried("the autoencoder"):
            output = model(some.id_index, some.x, some.edge_index, noise)
        require(isinstance(output, AutoencoderOutput), f"forward gave a {type(output).__name__}; expected an AutoencoderOutput")
        widths = (features, features, latent, latent, IDS, IDS)
        for field, value, width in zip(AutoencoderOutput._fields, output, widths, strict=True):
            require_shape(field, value, (len(some.x), width))
        return output

    whole = run(batch)
    require_close("the autoencoder was run twice without noise", run(batch).reconstruction, whole.reconstruction)
    single = torch.cat([run(alone(batch, number)).reconstruction for number in range(len(SIZES))])
    require_close("each graph was reconstructed alone", single, whole.reconstruction)
    noisy = run(batch, torch.full((len(batch.x), latent), 3.0))
    require_close("noise was given, which does not touch the posterior", noisy.mu, whole.mu)
    require(not torch.equal(noisy.reconstruction, whole.reconstruction), "noise was given, and the reconstruction is the same")
    _require_gradients(model.train(), lambda: run(batch).reconstruction)
    _require_state(model, make)


def _require_gradients(layer: nn.Module, run: Callable[[], Tensor]) -> None:
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    if not parameters:
        return
    given = torch.autograd.grad(run().square().sum(), parameters, allow_unused=True)
    found = cast("tuple[Tensor | None, ...]", given)  # torch does not say that one that is not used is None
    for gradient in found:
        require(gradient is None or bool(gradient.isfinite().all()), "gradients are not finite")
    require(any(gradient is not None for gradient in found), "no parameter has a gradient: nothing can be learnt")


def _require_state(layer: nn.Module, make: Callable[[], nn.Module]) -> None:
    """What a checkpoint keeps is enough to make the layer again; its shapes are known without memory for them."""
    state = copy.deepcopy(layer.state_dict())
    with tried("making it on the device `meta`, as a checkpoint is checked"), torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
    require(shapes == {name: tensor.shape for name, tensor in state.items()}, "its tensors have other shapes each time")
    with tried("loading its state into a new one"):
        again = made("making it again", make)
        again.load_state_dict(state)

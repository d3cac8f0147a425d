"""What the layers of the older networks are called here."""

import re
from typing import NamedTuple

from kdgat_models.errors import CheckpointError
from kdgat_models.importing.pickles import State

TARGET = "target_network."  # a copy of the Q-network that only training needs

VGAE_LAYERS = {
    "id_embedding": "embedding",
    "encoder_layers.0": "encoder_1",
    "encoder_bns.0": "encoder_norm_1",
    "encoder_layers.1": "encoder_2",
    "encoder_bns.1": "encoder_norm_2",
    "z_mean": "mu",
    "z_logvar": "logvar",
    "decoder_layers.0": "decoder_1",
    "decoder_bns.0": "decoder_norm_1",
    "decoder_layers.1": "decoder_2",
    "canid_classifier": "id_head",
    "neighborhood_decoder.0": "neighborhood_head.0",
    "neighborhood_decoder.3": "neighborhood_head.2",  # a dropout more than here lies between two layers
    "neighborhood_decoder.6": "neighborhood_head.4",
}
# A layer that only one kind of model has, and the model type.
MODEL_OF_LAYER = {"z_mean": "vgae", "convs.0": "gat", "q_network.net.0": "fusion"}


class Named(NamedTuple):
    """A state dict in the names of this project, and what of it has none."""

    tensors: State
    origin: dict[str, str]  # older name by new name
    unknown: list[str]


def model_type_of(state: State) -> str:
    """vgae, gat or fusion, as the names tell.

    Raises:
        CheckpointError: they are the names of none.
    """
    for layer, model_type in MODEL_OF_LAYER.items():
        if any(name.startswith(f"{layer}.") for name in state):
            return model_type
    shown = ", ".join(list(state)[:5])
    raise CheckpointError(
        f"these are the names of no known model: {shown}, ...; one of {', '.join(MODEL_OF_LAYER)} is expected"
    )


def renamed(state: State, model_type: str) -> Named:
    """`state` in the names of this project."""
    layers, unknown = layers_of(state, model_type), []
    tensors, origin = {}, {}
    for name, tensor in _one_spelling(state).items():
        layer = next((old for old in layers if name.startswith(f"{old}.")), None)
        if layer is None:
            unknown.append(name)
            continue
        new = layers[layer] + name.removeprefix(layer)
        tensors[new], origin[new] = tensor, name
    return Named(tensors, origin, unknown)


def layers_of(state: State, model_type: str) -> dict[str, str]:
    """Names of the layers here by the names there; how many there are follows from `state`."""
    if model_type == "vgae":
        return VGAE_LAYERS
    if model_type == "gat":
        convs = {f"convs.{index}": f"convs.{index}.conv" for index in range(count(state, "convs"))}
        linears = count(state, "fc_layers", 3)
        last = linears - 1  # before the last one, a dropout has no activation with it
        full = {f"fc_layers.{3 * n}": f"classifier.{2 * n + (n == last)}" for n in range(linears)}
        return {"id_embedding": "embedding", **convs, **full}
    linears = count(state, "q_network.net", 4)
    return {f"q_network.net.{index}": f"q.layers.{index}" for n in range(linears) for index in (4 * n, 4 * n + 1)}


def count(state: State, layer: str, step: int = 1) -> int:
    """How many of `layer`.0, `layer`.{step}, `layer`.{2 step}, ... there are."""
    found = {int(match[1]) for name in state if (match := re.match(rf"{re.escape(layer)}\.(\d+)\.", name))}
    index = 0
    while index * step in found:
        index += 1
    return index


def _one_spelling(state: State) -> State:
    """GATConv's weight is `lin.weight` in newer versions of PyG, `lin_src.weight` (and the same as `lin_dst`) in older ones."""
    result = {}
    for name, tensor in state.items():
        if name.startswith(TARGET):
            continue
        twin = state.get(name.replace(".lin_dst.", ".lin_src."))
        if ".lin_dst." in name and twin is not None and twin.shape == tensor.shape and bool((twin == tensor).all()):
            continue
        result[name.replace(".lin_src.", ".lin.")] = tensor
    return result

"""The architecture of an older network, read off the shapes of its tensors."""

from collections.abc import Mapping
from typing import NamedTuple

from config.settings import Setting
from kdgat_models.importing.names import count
from kdgat_models.importing.pickles import State


class Sizes(NamedTuple):
    """What the shapes say."""

    settings: Mapping[str, Setting]  # by dotted name
    num_ids: int | None  # rows of the embedding; None for a fusion


class UnreadableShape(Exception):
    """A tensor that the architecture is read off is missing or of another rank."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why


def sizes_of(state: State, model_type: str) -> Sizes:
    """The sizes of a network of `state`, in the names and with one spelling of `lin`; raises UnreadableShape."""
    return {"vgae": _vgae, "gat": _gat, "fusion": _dqn}[model_type](state)


def _vgae(state: State) -> Sizes:
    num_ids, embedding = _shape(state, "embedding.weight", 2)
    layers = ("encoder_1.lin.weight", "encoder_2.lin.weight", "mu.weight")
    wide, narrow, latent = (_shape(state, name, 2)[0] for name in layers)
    inner = _shape(state, "neighborhood_head.0.weight", 2)[0]
    settings = {
        "vgae.hidden": (wide, narrow, latent),
        "vgae.heads": _shape(state, "encoder_1.att_src", 3)[1],
        "vgae.decoder_heads": _shape(state, "decoder_1.att_src", 3)[1],
        "vgae.embedding_dim": embedding,
        "vgae.neighborhood_hidden": None if inner == latent else inner,
    }
    return Sizes(settings, num_ids)


def _gat(state: State) -> Sizes:
    num_ids, embedding = _shape(state, "embedding.weight", 2)
    _, heads, hidden = _shape(state, "convs.0.conv.att_src", 3)
    settings = {
        "gat.hidden": hidden,
        "gat.heads": heads,
        "gat.layers": count(state, "convs"),
        "gat.fc_layers": len([name for name in state if name.startswith("classifier.") and name.endswith(".weight")]),
        "gat.embedding_dim": embedding,
    }
    return Sizes(settings, num_ids)


def _dqn(state: State) -> Sizes:
    hidden = _shape(state, "q.layers.0.weight", 2)[0]
    layers = count(state, "q.layers", 4) - 1
    settings = {"dqn.hidden": hidden, "dqn.layers": layers, "dqn.actions": _shape(state, f"q.layers.{4 * layers}.weight", 2)[0]}
    return Sizes(settings, None)


def _shape(state: State, name: str, rank: int) -> tuple[int, ...]:
    if name not in state:
        raise UnreadableShape(name, "is missing")
    if state[name].dim() != rank:
        raise UnreadableShape(name, f"has shape {list(state[name].shape)}, expected {rank} dimensions")
    return tuple(state[name].shape)

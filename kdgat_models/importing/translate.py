"""An older state dict and its config -> tensors and config of this project, with everything that does not fit in one error."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from config.resolver import merged, nested, validated
from config.schema import PipelineConfig
from config.settings import Setting, Settings, section
from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.reference import REFERENCE
from kdgat_models.importing.names import TARGET, Named, renamed
from kdgat_models.importing.pickles import State
from kdgat_models.importing.shapes import UnreadableShape, sizes_of
from kdgat_models.importing.vocabulary import EmbeddingRows
from kdgat_models.registry import build

SUPPORTED = {
    "vgae": "an autoencoder has two encoder and two decoder GATConv (heads in the first of each, concatenated), batch norms "
    "after all but the last, and neighborhood_decoder.{0,3,6}",
    "gat": "a classifier has GATConv layers of one width, concatenated heads, and fc_layers.{0,3,...} as wide as all layers "
    "together, the last of two outputs",
    "fusion": "an agent has 15 inputs, linear layers net.{0,4,...} of one width, all but the last with layer norms "
    "net.{1,5,...}",
}
# Not in older dicts: figures that older agents did without, and counters that nothing reads in use.
UNKNOWN_TO_OLDER_AGENTS = {"state_mean": 0.0, "state_std": 1.0}
BATCH_COUNTER = "num_batches_tracked"
# How the older networks compute, whatever their sizes.
OLDER_BEHAVIOUR: dict[str, Settings] = {
    "vgae": {"vgae.self_loops": "replace"},
    "gat": {"gat.self_loops": "replace", "gat.conv": "gat"},
    "fusion": {"dqn.state_clip": None, "fusion.method": "dqn"},
}


class Translated(NamedTuple):
    """A network of this project that computes what the older one did."""

    config: PipelineConfig
    tensors: State


def translate(
    state: State, model_type: str, values: Mapping[str, Setting], stated: Mapping[str, Setting], known: EmbeddingRows
) -> Translated:
    """Translate a state dict.

    Args:
        state: By the older names.
        model_type: vgae, gat or fusion.
        values: A whole config, of which the sizes are replaced by those of the tensors.
        stated: The part of it that the config file states: where it contradicts the tensors, that is an error.
        known: IDs of the embedding.

    Raises:
        CheckpointError: lists all names that are unknown or missing, and all shapes and settings that do not fit.
        ConfigError: the sizes cannot go together.
    """
    named = renamed(state, model_type)
    problems = [f"{name}: unknown" for name in named.unknown]
    try:
        sizes = sizes_of(named.tensors, model_type)
    except UnreadableShape as error:
        raise _refusal(model_type, [*problems, f"{named.origin.get(error.name, _as_here(error.name))} {error.why}"]) from error
    settings = {**sizes.settings, **OLDER_BEHAVIOUR[model_type]}
    problems += _contradictions(stated, settings)
    for name, value in settings.items():
        values = merged(values, nested(name, value))
    config = PipelineConfig.model_validate(validated(values))
    expected = _shapes(config, known.vocabulary.num_ids)
    problems += [*_differences(named, expected), *_target_differences(state)]
    if sizes.num_ids not in (None, known.vocabulary.num_ids):
        problems.append(
            f"the embedding has {sizes.num_ids} rows, the vocabulary {len(known.vocabulary.ids)} IDs and a row for all others: "
            "name the model's own with --vocabulary FILE.json"
        )
    if problems:
        raise _refusal(model_type, problems)
    return Translated(config, _filled(known.reordered(named.tensors), expected))


def _contradictions(stated: Mapping[str, Setting], settings: Mapping[str, Setting]) -> Iterator[str]:
    for name, found in settings.items():
        part, _, field = name.partition(".")
        said = section(stated, part).get(field, found)
        alike = isinstance(found, tuple) and isinstance(said, Sequence) and tuple(said) == found
        if said != found and not alike:
            yield f"{name}: the config says {said}, the tensors {found}"


def _shapes(config: PipelineConfig, num_ids: int) -> dict[str, Tensor]:
    with torch.device("meta"):  # sizes without memory
        return build(config, num_ids, REFERENCE.describe()).state_dict()


def _differences(named: Named, expected: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in named.tensors.items():
        if name not in expected:
            yield f"{named.origin[name]}: unknown"
        elif tensor.shape != expected[name].shape:
            yield f"{named.origin[name]}: shape {list(tensor.shape)}, expected {list(expected[name].shape)}"
    for name in expected:
        if name not in named.tensors and name not in UNKNOWN_TO_OLDER_AGENTS and not name.endswith(BATCH_COUNTER):
            yield f"{_as_here(name)}: missing"


def _target_differences(state: State) -> Iterator[str]:
    """The target network is not imported, but one that does not fit says that something is wrong."""
    for name, tensor in state.items():
        if name.startswith(TARGET):
            twin = state.get(name.replace(TARGET, "q_network."))
            if twin is None or twin.shape != tensor.shape:
                yield f"{name}: q_network has no such tensor of shape {list(tensor.shape)}"


def _filled(tensors: State, expected: Mapping[str, Tensor]) -> State:
    result = {}
    for name, wanted in expected.items():
        given = tensors.get(name)
        result[name] = (
            torch.full(wanted.shape, UNKNOWN_TO_OLDER_AGENTS.get(name, 0), dtype=wanted.dtype) if given is None else given
        )
    return {name: tensor.to(expected[name].dtype).contiguous() for name, tensor in result.items()}


def _as_here(name: str) -> str:
    return f"{name} (as it is called here)"


def _refusal(model_type: str, problems: list[str]) -> CheckpointError:
    lines = "\n".join(f"  {problem}" for problem in problems)
    return CheckpointError(f"the state dict is no {model_type} that can be imported; {SUPPORTED[model_type]}:\n{lines}")

"""Checkpoints: `model.safetensors` (tensors) and `checkpoint.json` (all that gives them meaning). Nothing is pickled."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from config.errors import ConfigError
from config.schema import PipelineConfig
from config.sections import ModelType
from kdgat_models.checkpoint_formats import FORMAT, current_record, fitted_config
from kdgat_models.decision import F1, TEMPERATURE, Decision
from kdgat_models.errors import CheckpointError
from kdgat_models.files import as_record, atomic_path, digest_files, digest_json, read_record, write_json
from kdgat_models.graphs.schema import SchemaDescription, SchemaRecord
from kdgat_models.graphs.vocabulary import KnownIds, Vocabulary

TENSORS, META = "model.safetensors", "checkpoint.json"
MOST_NAMED = 8  # tensors in a message
DIVISORS = (TEMPERATURE, "_scale")

N = TypeVar("N", bound=nn.Module)
FromConfig = Callable[[PipelineConfig, int, SchemaRecord], N]  # config, number of ID indices, schema -> a new network
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _usable(thresholds: dict[str, float]) -> dict[str, float]:
    """Divisors are positive, and there is the threshold that every model has."""
    if F1 not in thresholds:
        raise ValueError(f"{F1} is missing")
    for name, value in thresholds.items():
        if name.endswith(DIVISORS) and value <= 0:
            raise ValueError(f"{name} must be above 0, not {value:g}")
    return thresholds


class AnyFormat(BaseModel):
    """What `checkpoint.json` of every format has."""

    model_config = ConfigDict(frozen=True, extra="allow")

    format: int
    config: dict[str, JsonValue]


class ImportedFrom(BaseModel):
    """The state dict that a model was translated from."""

    model_config = ConfigDict(frozen=True, extra="allow")

    file: str  # its name
    digest: str


class Provenance(BaseModel):
    """Where a model comes from. Other versions may say more, and it is kept; what was not said is not written."""

    model_config = ConfigDict(frozen=True, extra="allow")

    inputs: dict[str, str] = {}  # digests by name
    best_epoch: int | None = None  # of a training: that of the weights
    best_value: float | None = None
    epochs: int | None = None
    versions: dict[str, str] = {}  # of Python and the packages that trained it
    imported: ImportedFrom | None = None  # of an older model


class CheckpointMeta(BaseModel):
    """`checkpoint.json` of this format; `config` has been validated already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    model_type: ModelType
    config: dict[str, JsonValue]
    graph_schema: SchemaDescription = Field(alias="schema")
    vocabulary: KnownIds
    buckets: int = Field(ge=0, le=2**20)
    thresholds: Annotated[dict[str, Finite], AfterValidator(_usable)]
    provenance: Provenance
    tensors_digest: str


class Checkpoint(NamedTuple):
    """A trained model and what it needs to be used: nothing has to be guessed from elsewhere."""

    config: PipelineConfig
    schema: SchemaRecord  # of the graphs that it was trained on
    vocabulary: Vocabulary
    decision: Decision
    tensors: dict[str, Tensor]
    provenance: Provenance = Provenance()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> str:
    """Write `checkpoint` into `folder`; return its digest, which does not depend on where or when it was written."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    with atomic_path(folder / TENSORS) as temporary:
        save_file(tensors, temporary)
    meta = {
        "format": FORMAT,
        "model_type": checkpoint.config.model_type,
        "config": checkpoint.config.model_dump(mode="json"),
        "schema": checkpoint.schema,
        "vocabulary": list(checkpoint.vocabulary.ids),
        "buckets": checkpoint.vocabulary.buckets,
        "thresholds": checkpoint.decision.flat(),
        "provenance": checkpoint.provenance.model_dump(mode="json", exclude_unset=True),
        "tensors_digest": digest_files([folder / TENSORS]),
    }
    write_json(folder / META, meta)
    return digest_json(
        {name: meta[name] for name in ("tensors_digest", "schema", "vocabulary", "buckets", "thresholds", "model_type")}
    )


def load_checkpoint(folder: Path, model_type: str | None = None) -> Checkpoint:
    """Read a checkpoint of this version or an earlier one, of type `model_type` if given.

    Raises:
        CheckpointError: it is missing, torn, altered, of another format, or of another model type; names file and field.
    """
    if not (folder / META).is_file():
        raise CheckpointError(f"no checkpoint in {folder}: expected {META} and {TENSORS}")
    meta = _read_meta(folder / META)
    if model_type and meta.model_type != model_type:
        raise CheckpointError(f"{folder} holds a {meta.model_type}, not a {model_type}")
    tensors = _read_tensors(folder / TENSORS, meta.tensors_digest)
    return Checkpoint(
        fitted_config(_config(folder / META, meta), tensors),
        meta.graph_schema.record(),
        Vocabulary(meta.vocabulary, meta.buckets),
        Decision.read(meta.thresholds),
        tensors,
        meta.provenance,
    )


def _read_meta(file: Path) -> CheckpointMeta:
    """`checkpoint.json` of any format, as this version would have written it."""
    try:
        record = current_record(read_record(file, AnyFormat).model_dump())
    except (ConfigError, CheckpointError, KeyError) as error:
        raise CheckpointError(f"{file} is not a readable checkpoint: {error}") from error
    return as_record(file, record, CheckpointMeta)


def _config(file: Path, meta: CheckpointMeta) -> PipelineConfig:
    config = PipelineConfig.model_validate(meta.config)
    if config.model_type != meta.model_type:
        raise CheckpointError(f"{file} is of a {meta.model_type}, its config of a {config.model_type}: it was changed")
    return config


def _read_tensors(file: Path, digest: str) -> dict[str, Tensor]:
    try:
        if digest_files([file]) != digest:
            raise CheckpointError(f"{file} does not belong to {META}: one of them was changed or torn. Train the model again")
        tensors = load_file(file)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{file} is not readable: {error!r}. Train the model again") from error
    require_finite(file, tensors)
    return tensors


def require_finite(file: Path, tensors: dict[str, Tensor]) -> None:
    """Raise a CheckpointError that names a tensor of `file` with a value that is not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{file}: the tensor {name} has values that are not finite. Train the model again")


def differences(expected: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> str:
    """In which names, shapes and types `stored` differs from `expected`; empty if in none."""
    found = [f"{name} is missing" for name in expected if name not in stored]
    found += [f"{name} is unknown" for name in stored if name not in expected]
    for name in (name for name in expected if name in stored):
        wanted, given = expected[name], stored[name]
        if wanted.shape != given.shape:
            found.append(f"{name} has shape {list(given.shape)}, expected {list(wanted.shape)}")
        elif wanted.dtype != given.dtype:
            found.append(f"{name} has type {given.dtype}, expected {wanted.dtype}")
    more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return "; ".join(found[:MOST_NAMED]) + more


def restore(checkpoint: Checkpoint, from_config: FromConfig[N]) -> N:
    """The network of a checkpoint, made by `from_config` and ready for use.

    Raises:
        CheckpointError: its tensors are not those of the network that its config describes; they are listed.
    """
    given = (checkpoint.config, checkpoint.vocabulary.num_ids, checkpoint.schema)
    with torch.device("meta"):  # sizes cost no memory to find out
        found = differences(from_config(*given).state_dict(), checkpoint.tensors)
    if found:
        raise CheckpointError(f"the tensors are not those of the {checkpoint.config.model_type} in its config: {found}")
    network = from_config(*given)
    network.load_state_dict(checkpoint.tensors)
    return network.eval()

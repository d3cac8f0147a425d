"""Checkpoints: `model.safetensors` (tensors) and `checkpoint.json` (all that gives them meaning). Nothing is pickled."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from config.schema import PipelineConfig
from kdgat_models.checkpoint_formats import FORMAT, current_record, fitted_config
from kdgat_models.errors import CheckpointError
from kdgat_models.files import atomic_path, digest_files, digest_json, write_json
from kdgat_models.graphs.vocabulary import Vocabulary

TENSORS, META = "model.safetensors", "checkpoint.json"


class Checkpoint(NamedTuple):
    """A trained model and what it needs to be used: nothing has to be guessed from elsewhere."""

    config: PipelineConfig
    schema: dict[str, Any]  # FeatureSchema.describe() of the graphs that it was trained on
    vocabulary: Vocabulary
    thresholds: dict[str, float]  # on the model's decision score, chosen on calibration windows
    tensors: dict[str, Tensor]
    provenance: dict[str, Any]  # digests of the inputs, versions, epoch of the best weights

    @property
    def threshold(self) -> float:
        """Decision threshold on the score: at or above it, a window is an attack."""
        return self.thresholds["f1"]


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
        "thresholds": checkpoint.thresholds,
        "provenance": checkpoint.provenance,
        "tensors_digest": digest_files([folder / TENSORS]),
    }
    write_json(folder / META, meta)
    return digest_json(
        {name: meta[name] for name in ("tensors_digest", "schema", "vocabulary", "buckets", "thresholds", "model_type")}
    )


def load_checkpoint(folder: Path, model_type: str | None = None) -> Checkpoint:
    """Read a checkpoint of this version or an earlier one, of type `model_type` if given.

    Raises:
        CheckpointError: it is missing, torn, of another format, or of another model type.
    """
    if not (folder / META).is_file():
        raise CheckpointError(f"no checkpoint in {folder}: expected {META} and {TENSORS}")
    try:
        meta = current_record(json.loads((folder / META).read_text()))
        if model_type and meta["model_type"] != model_type:
            raise CheckpointError(f"{folder} holds a {meta['model_type']}, not a {model_type}")
        if digest_files([folder / TENSORS]) != meta["tensors_digest"]:
            raise CheckpointError(f"{folder}/{TENSORS} does not belong to {META}: one of them was changed or torn")
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is not a readable checkpoint: {error!r}. Train the model again") from error
    return Checkpoint(
        fitted_config(PipelineConfig.model_validate(meta["config"]), tensors),
        meta["schema"],
        Vocabulary(tuple(meta["vocabulary"]), meta["buckets"]),
        meta["thresholds"],
        tensors,
        meta["provenance"],
    )

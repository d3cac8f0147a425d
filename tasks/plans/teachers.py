"""Trained models on disk that others stand on: which of them fit, and why the rest do not.

Whatever a stage would refuse hours later is read from `config.json` and `checkpoint.json` here, without loading a network.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from config.errors import KdgatError
from config.files import load_config
from config.paths import COMPLETE, Paths
from config.resolver import list_auxiliaries
from config.schema import PipelineConfig
from kdgat_models.errors import CheckpointError, MissingTeacherError
from tasks.artifact import Artifact, read_artifact

if TYPE_CHECKING:
    from kdgat_models.graphs.schema import SchemaRecord

SCALES = ("tiny", "small", "large")
SHOWN = 5  # candidates that an error names

# IDs in the normal training windows of the graphs that a config asks for; None: they are not built yet.
KnownIds = Callable[[PipelineConfig], Sequence[int] | None]


def nobody_knows(config: PipelineConfig) -> None:
    """The graphs are not at hand."""
    return


class Candidate(NamedTuple):
    """A trained model, as its run folder describes it."""

    artifact: Artifact
    config: PipelineConfig
    schema: "SchemaRecord"
    ids: tuple[int, ...]  # its vocabulary
    inputs: dict[str, str]  # digests of what it was trained on, by name

    @property
    def what(self) -> str:
        """As messages call it: `large gat`."""
        return f"{self.config.scale} {self.config.model_type}"


def read_candidate(folder: Path, model: str) -> Candidate:
    """The model in a run folder.

    Raises:
        CheckpointError: the folder is not finished, or is another model's; a file is missing or is not what it should be.
    """
    artifact = read_artifact(folder, model)
    try:
        meta = json.loads((folder / "checkpoint.json").read_text())
        config, ids = load_config(folder / "config.json"), tuple(meta["vocabulary"])
        schema = cast("SchemaRecord", dict(meta["schema"]))
        inputs = dict(dict(meta["provenance"]).get("inputs", {}))
    except KdgatError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} has no readable checkpoint.json: {error!r}") from error
    if config.model_type != model:
        raise CheckpointError(f"{folder} holds a {config.model_type}, not a {model}")
    if not (folder / "model.safetensors").is_file():
        raise CheckpointError(f"{folder} has no model.safetensors")
    return Candidate(artifact, config, schema, ids, inputs)


class Fitting:
    """Says why a trained model cannot be used beside one that is trained now."""

    def __init__(self, config: PipelineConfig, known_ids: KnownIds = nobody_knows) -> None:
        """`config`: of the model that is trained now."""
        self.config = config
        self._known_ids = known_ids

    @cached_property
    def schema(self) -> "SchemaRecord":
        """What the graphs of this run will look like."""
        from kdgat_models.graphs.schemas import feature_schema  # takes a second to import

        return feature_schema(self.config.preprocessing.feature_schema).describe()

    def to_read_its_graphs(self, candidate: Candidate) -> list[str]:
        """What keeps the candidate from reading the graphs of this run."""
        reasons, wanted = [], self.config
        if candidate.config.method != wanted.method:
            reasons.append(f"its method is {candidate.config.method}, this run's is {wanted.method}")
        return reasons + self._schema(candidate.schema)

    def to_share_its_inputs(self, candidate: Candidate) -> list[str]:
        """What keeps the candidate from reading the very batches that the model in training reads."""
        reasons, mine, its = self.to_read_its_graphs(candidate), self.config.identity, candidate.config.identity
        if its.encoding != mine.encoding:
            reasons.append(f"it knows arbitration IDs by {its.encoding}, this run's models by {mine.encoding}")
        elif mine.encoding == "hash" and its.buckets != mine.buckets:
            reasons.append(f"it hashes arbitration IDs into {its.buckets} buckets, this run into {mine.buckets}")
        elif mine.encoding == "lookup" and not reasons:
            reasons += self._vocabulary(candidate.ids)
        return reasons

    def to_teach(self, candidate: Candidate) -> list[str]:
        """What keeps the candidate from teaching the model in training."""
        reasons, its = self.to_share_its_inputs(candidate), candidate.config.scale
        if SCALES.index(its) <= SCALES.index(self.config.scale):
            reasons.insert(0, f"it is {its}, and a teacher of a {self.config.scale} model has to be larger")
        return reasons

    def _schema(self, schema: "SchemaRecord") -> list[str]:
        wanted = self.schema
        its, mine = (f"{each.get('name')} version {each.get('version')}" for each in (schema, wanted))
        if its != mine:
            return [f"it reads feature schema {its}, this run's graphs have {mine}"]
        kinds = [kind for kind in ("node_features", "edge_features") if schema.get(kind) != wanted[kind]]
        return [f"it reads other {kind.replace('_', ' ')} than this run's graphs have" for kind in kinds]

    def _vocabulary(self, ids: Sequence[int]) -> list[str]:
        known = self._known_ids(self.config)
        if known is None or tuple(known) == tuple(ids):
            return []
        return [f"it knows {len(ids)} arbitration IDs, this run's graphs have {len(known)}, and not the same ones"]


def candidates(paths: Paths, dataset: str, model: str, scale: str, distilled: bool) -> list[Path]:
    """Run folders of this kind of model, the newest first, whatever settings they were trained with."""
    marks = (paths.root / dataset).glob(f"{model}_{scale}_*/*/{COMPLETE}")
    taught = tuple(f"_{name}" for name in list_auxiliaries() if name != "none")
    folders = [mark.parent for mark in marks if mark.parents[1].name.endswith(taught) == distilled]
    return [folder for folder in sorted(folders, key=lambda folder: folder.name, reverse=True) if _is(folder, model)]


def newest(folders: Sequence[Path], model: str, objections: Callable[[Candidate], list[str]]) -> Candidate | list[str]:
    """The first candidate without objections; otherwise what was found, with the reasons."""
    found: list[str] = []
    for folder in folders:
        try:
            candidate = read_candidate(folder, model)
            reasons = objections(candidate)
        except CheckpointError as error:
            reasons = [str(error)]
        else:
            if not reasons:
                return candidate
        found.append(f"{folder}: {'; '.join(reasons)}")
    return found


def find_teacher(student: PipelineConfig, paths: Paths, known_ids: KnownIds) -> Artifact:
    """The newest large model of the student's dataset that can teach it.

    Raises:
        MissingTeacherError: there is none; the message says which were found and why each cannot teach.
    """
    model, dataset = student.model_type, student.dataset
    folders = candidates(paths, dataset, model, "large", distilled=False)
    found = newest(folders, model, Fitting(student, known_ids).to_teach)
    if isinstance(found, Candidate):
        return found.artifact
    shown = "".join(f"\n  {line}" for line in found[:SHOWN])
    more = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    why = (
        f"of those that {dataset} has, none can teach it:{shown}{more}\n"
        if found
        else f"{dataset} has no finished {model} large. "
    )
    raise MissingTeacherError(
        f"no teacher for {model}: {why}Train one with `kdgat run --dataset {dataset} --variants large "
        f"--modality {student.modality}`{' and the same --set' if found else ''}, train it along with "
        f"`--variants large,small_kd`, or name one with `--teacher {model}=FOLDER`"
    )


def given_teacher(folder: Path, student: PipelineConfig, known_ids: KnownIds) -> Candidate:
    """The teacher that the user named.

    Raises:
        CheckpointError: the folder holds no finished model of this kind, or one that cannot teach the student.
    """
    candidate = read_candidate(folder, student.model_type)
    reasons = Fitting(student, known_ids).to_teach(candidate)
    if reasons:
        raise CheckpointError(f"{folder} cannot teach {student.model_type} {student.scale}: {'; '.join(reasons)}")
    return candidate


def _is(folder: Path, kind: str) -> bool:
    """Whether the folder is of that kind; one that cannot be read is left to whoever reads it, who says why."""
    try:
        return json.loads((folder / COMPLETE).read_text())["kind"] == kind
    except (OSError, ValueError, KeyError, TypeError):
        return True

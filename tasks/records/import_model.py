"""Models of older code -> run folders like those of models that were trained here. What a state dict lacks is not guessed.

A state dict has no vocabulary: it is that of the graphs of its dataset, or named. It has no thresholds: they are chosen on the
calibration windows of those graphs, as for every model. A fusion has no scales of its inputs: they follow from its base models.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from config.catalog import dataset_entry
from config.errors import ConfigError
from config.files import current_values, load_config, read_settings
from config.paths import Paths, versions
from config.resolver import merged, with_overrides
from config.schema import PipelineConfig
from config.sections import AuxiliaryConfig
from config.settings import Setting, Settings, section
from kdgat_models.checkpoint import Checkpoint, ImportedFrom, Provenance, load_checkpoint, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.errors import CheckpointError, SchemaError
from kdgat_models.evaluation.calibration import calibrated, calibration_windows
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.files import digest_files, digest_json, write_json
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionMethod, fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.finite import Origin
from kdgat_models.graphs.reference import REFERENCE
from kdgat_models.importing.names import model_type_of
from kdgat_models.importing.pickles import State, read_state
from kdgat_models.importing.translate import translate
from kdgat_models.importing.vocabulary import EmbeddingRows, read_vocabulary
from kdgat_models.registry import REGISTRY, restore
from tasks.artifact import Artifact, read_artifact
from tasks.stages.table import STAGES, build_graphs

BASES = ("vgae", "gat")  # of a fusion


class ImportRequest(NamedTuple):
    """What is imported, and where that lies which it lacks; None: it is looked for."""

    file: Path
    config: Path
    dataset: str | None = None
    model: str | None = None
    overrides: Mapping[str, Setting] = {}
    vocabulary: Path | None = None
    graphs: Path | None = None
    bases: Mapping[str, Path] = {}


class Imported(NamedTuple):
    """A run folder, and what was found for it."""

    artifact: Artifact
    inputs: dict[str, Artifact]


def import_model(request: ImportRequest, paths: Paths) -> Imported:
    """Translate, calibrate and publish a model.

    Raises:
        CheckpointError: the file is no state dict that can be imported, or what it needs is missing.
        ConfigError: the config file or an override is wrong, or says something else than the state dict.
        SchemaError: the graphs are not those that such a model reads.
    """
    state = read_state(request.file)
    stated = _stated(request, model_type_of(state))
    graphs = _graphs(request, stated, paths)
    stated = _on_graphs(stated, graphs)
    if stated["model_type"] == "fusion":
        checkpoint, inputs = _fusion(request, state, stated, graphs, paths)
    else:
        checkpoint, inputs = _base(request, state, stated, graphs), {"graphs": graphs}
    return Imported(_publish(request, checkpoint, inputs, paths), inputs)


def _stated(request: ImportRequest, found: str) -> Settings:
    """What the config file and the request state, by sections."""
    stated = dict(with_overrides(read_settings(request.config), request.overrides))
    told = request.model or stated.get("model_type", found)
    if told != found:
        raise CheckpointError(
            f"{request.file} holds a {found}, and {'--model' if request.model else request.config} says {told}"
        )
    dataset = request.dataset or stated.get("dataset")
    if not isinstance(dataset, str):
        raise ConfigError(f"{request.config} names no dataset; say which with --dataset NAME (`kdgat datasets` lists them)")
    dataset_entry(dataset)
    schema = section(stated, "preprocessing").get("feature_schema", REFERENCE.name)
    if stated.pop("method", "published") != "published" or schema != REFERENCE.name:
        raise ConfigError(f"{request.config} is no config of older code: they knew one method, and the schema {REFERENCE.name}")
    return stated | {"model_type": found, "dataset": dataset}


def _graphs(request: ImportRequest, stated: Mapping[str, Setting], paths: Paths) -> Artifact:
    """The graphs that thresholds are chosen on: those named, or the newest of the dataset that such a model reads."""
    if request.graphs is not None:
        named = read_artifact(request.graphs, "graphs")
        if not _is_reference(named.path):
            raise SchemaError(f"{named.path} has graphs of another schema than {REFERENCE.name}, which older models read")
        return named
    config = PipelineConfig.model_validate(current_values(stated))
    for folder in reversed(versions(build_graphs.family(paths, config))):
        if _is_reference(folder):
            return read_artifact(folder, "graphs")
    raise CheckpointError(
        f"not calibrated: {request.file.name} has no thresholds, and there are no graphs of schema {REFERENCE.name} of "
        f"{config.dataset} in {paths.root} to choose them on. Build them with `kdgat ingest --dataset {config.dataset} "
        f"--set method=published --modality {config.modality} [--data-dir DIR]`, or name a folder of graphs with --graphs "
        "FOLDER"
    )


def _is_reference(folder: Path) -> bool:
    return GraphDataset(folder).schema == REFERENCE.describe()


def _on_graphs(stated: Mapping[str, Setting], graphs: Artifact) -> Settings:
    """`stated` with how the graphs were made; a ConfigError if the model's config says otherwise."""
    if not (graphs.path / "config.json").is_file():
        return dict(stated)
    made = load_config(graphs.path / "config.json").preprocessing.model_dump()
    for name, value in section(stated, "preprocessing").items():
        if name in made and value != made[name]:
            raise ConfigError(
                f"the model was made for preprocessing.{name}={value}, the graphs in {graphs.path} have {made[name]}; build "
                f"others with `kdgat ingest --modality automotive --set method=published --set preprocessing.{name}={value}` "
                "or name some by --graphs"
            )
    return merged(stated, {"preprocessing": made})


def _base(request: ImportRequest, state: State, stated: Mapping[str, Setting], graphs: Artifact) -> Checkpoint:
    """An autoencoder or a classifier."""
    dataset = GraphDataset(graphs.path)
    known = read_vocabulary(request.vocabulary) if request.vocabulary else EmbeddingRows(dataset.known)
    config, tensors = translate(state, model_type_of(state), current_values(stated), stated, known)
    made = Checkpoint(config, dataset.schema, known.vocabulary, Decision({}), tensors)
    extractor = REGISTRY[config.model_type].extractor
    assert extractor is not None
    decision = calibrated(restore(made), extractor, dataset.through(known.vocabulary))
    return made._replace(decision=decision)


def _fusion(
    request: ImportRequest, state: State, stated: Mapping[str, Setting], graphs: Artifact, paths: Paths
) -> tuple[Checkpoint, dict[str, Artifact]]:
    """A fusion, on its two base models."""
    if request.vocabulary is not None:
        raise ConfigError("a fusion has no embedding: --vocabulary is for its autoencoder and its classifier")
    artifacts = {name: _base_of_fusion(name, request, stated, paths) for name in BASES}
    models = {name: load_checkpoint(artifact.path, name) for name, artifact in artifacts.items()}
    vocabulary = models["vgae"].vocabulary
    dataset = GraphDataset(graphs.path).through(vocabulary)
    for model in models.values():
        dataset.require(model.schema, model.vocabulary)
    config, tensors = translate(state, "fusion", current_values(stated), stated, EmbeddingRows(vocabulary))
    made = Checkpoint(config, dataset.schema, vocabulary, Decision({}), tensors)
    method = restore(made)
    assert isinstance(method, FusionMethod)
    networks = {name: restore(model) for name, model in models.items()}
    base = BaseModels.of(
        dataset, networks, {name: model.decision.threshold(config.decision.rule) for name, model in models.items()}
    )
    windows = calibration_windows(dataset.train)
    inputs, _ = base.run(dataset.train_data(), windows)
    thresholds = choose_thresholds(fused_scores(method, inputs, Origin(dataset.train, windows)), dataset.train.label[windows])
    return made._replace(decision=Decision(thresholds, scales=base.scales)), {"graphs": graphs, **artifacts}


def _base_of_fusion(name: str, request: ImportRequest, stated: Mapping[str, Setting], paths: Paths) -> Artifact:
    """The model that was named, or the newest of the dataset and scale that reads such graphs."""
    if name in request.bases:
        return read_artifact(request.bases[name], name)
    config = PipelineConfig.model_validate(current_values({**stated, "model_type": name}))
    for folder in sorted(_versions(config, paths), key=lambda folder: folder.name, reverse=True):
        if load_checkpoint(folder, name).schema == REFERENCE.describe():
            return read_artifact(folder, name)
    raise CheckpointError(
        f"not calibrated: a fusion needs the {name} whose outputs it reads, and {config.dataset} has no {name} {config.scale} "
        f"of schema {REFERENCE.name} in {paths.root}. Import it first, or name its run folder with --base {name}=FOLDER"
    )


def _versions(config: PipelineConfig, paths: Paths) -> Iterator[Path]:
    """Versions of a model, distilled or not."""
    for auxiliary in ("none", "kd_standard"):
        own = config.model_copy(update={"auxiliary": AuxiliaryConfig(name=auxiliary)})
        yield from versions(STAGES[config.model_type].family(paths, own))


def _publish(request: ImportRequest, checkpoint: Checkpoint, inputs: Mapping[str, Artifact], paths: Paths) -> Artifact:
    """Write the run folder, its mark last."""
    config, stage = checkpoint.config, checkpoint.config.model_type
    digests = {name: artifact.digest for name, artifact in inputs.items()}
    source = ImportedFrom(file=request.file.name, digest=digest_files([request.file]))
    key = digest_json([source.digest, config.model_dump(mode="json"), digests, list(checkpoint.vocabulary.ids)])
    folder = paths.run_folder(STAGES[stage].family(paths, config), key).path
    write_json(folder / "config.json", config.model_dump(mode="json"))
    digest = save_checkpoint(folder, checkpoint._replace(provenance=Provenance(inputs=digests, imported=source)))
    parameters = sum(tensor.numel() for tensor in restore(checkpoint).parameters())
    summary = {"parameters": parameters, "imported_from": request.file.name}
    artifact = Artifact(kind=stage, path=folder, digest=digest, summary=summary)
    artifact.publish()
    return artifact

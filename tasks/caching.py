"""When a stage need not run again. The cache key is defined here and nowhere else.

key = digest of (stage, the part of the config that it reads, digests of its inputs, the code that computes it, and, for a
stage that reads the catalogue, its entries of the datasets).

The code is what the stage's module imports, and of what is chosen by name (`config/registry.py`), which nothing imports, what
was chosen: by its part of the config, by the catalogue's entries of its datasets, by the models that it is given.
"""

import ast
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast, get_args

from config.catalog import catalog
from config.choices import chosen
from config.errors import ConfigError
from config.files import load_config
from config.paths import CHECKOUT
from config.plugins import Registered, package_files
from config.registry import REGISTRY, Kind
from config.schema import PipelineConfig
from config.sections import ModelType
from kdgat_models.files import digest_json
from tasks.artifact import Artifact, Input, Inputs
from tasks.stage import Stage

CATALOG = "config.catalog"
MODELS = get_args(ModelType)  # kinds of artifacts that are made anew from what a section of their config says
CONFIG = "config.json"  # of a run folder
WITHOUT_EFFECT = {"source", "licence", "resources"}  # fields of a catalogue entry on which no result depends
LIBRARIES = ("torch", "torch-geometric", "numba", "polars", "scikit-learn")
CODE = ("kdgat_models", "tasks.stages", "tasks.artifact", CATALOG)
PARSER = threading.Lock()  # Python 3.11's parser keeps its recursion depth for all threads in one place (gh-106905)


def cache_key(stage: Stage[Any, ...], config: PipelineConfig, inputs: Inputs) -> str:
    """Key of one execution of `stage`. `inputs`: Artifacts (their digests count), lists or dicts of them, texts, None."""
    return digest_json(
        {
            "stage": stage.name,
            "config": stage.part_of(config),
            "inputs": {name: _content(value) for name, value in sorted(inputs.items())},
            "catalogue": _catalogue(stage, _datasets(config, inputs)),
            "code": code_version(stage, choices(stage, config, inputs)),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def _catalogue(stage: Stage[Any, ...], datasets: list[str]) -> dict[str, Any]:
    """Entries of the datasets, if the stage reads the catalogue."""
    if CATALOG not in sources(stage.module):
        return {}
    known = catalog()  # without the joined names of a pool, whose datasets are an input
    return {name: known[name].model_dump(mode="json", exclude=WITHOUT_EFFECT) for name in datasets if name in known}


def _datasets(config: PipelineConfig, inputs: Inputs) -> list[str]:
    """The dataset of the config, and those that a stage is given to pool."""
    pooled = inputs.get("datasets")
    return [config.dataset, *(map(str, pooled) if isinstance(pooled, list | tuple) else ())]


def _content(value: Input) -> Any:
    """What counts of an input: of artifacts, also in lists and by name, their digests."""
    if isinstance(value, Artifact):
        return value.digest
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    return {name: _content(item) for name, item in value.items()} if isinstance(value, dict) else value


def choices(stage: Stage[Any, ...], config: PipelineConfig, inputs: Inputs) -> list[Registered]:
    """What may be chosen by name for an execution of `stage`; `code_version` leaves out what the stage cannot get at."""
    found = list(chosen(config, stage.config_type.model_fields))
    known = catalog()
    for name in _datasets(config, inputs):
        found += chosen(known[name]) if name in known else ()
    for model in (artifact for artifact in _artifacts(inputs) if artifact.kind in MODELS):
        file = Path(model.path) / CONFIG
        found += _chosen_by(file, file.stat().st_mtime_ns, model.kind) if file.is_file() else ()
    return list(dict.fromkeys(found))


def _artifacts(value: Input) -> Iterator[Artifact]:
    if isinstance(value, Artifact):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _artifacts(item)


@cache
def _chosen_by(file: Path, changed: int, section: str) -> list[Registered]:
    """What the config of a model names; nothing if it names what is not installed: opening the model will say so."""
    try:
        return list(chosen(load_config(file), (section,)))
    except ConfigError:
        return []


def code_version(stage: Stage[Any, ...], choices: Collection[Registered] = ()) -> str:
    """Digest of the source of the stage's module, of all of our modules that it imports, and of what was chosen by name.

    Only those choices count whose kind the stage can get at: that of a network counts where networks are made.
    """
    modules = dict(sources(stage.module))
    for module in stage.code:  # of a stage that somebody wrote
        modules |= sources(module) or _plugin_sources(module)
    waiting = list(choices)
    while reached := [entry for entry in waiting if REGISTRY[cast("Kind", entry.kind)].accessor in modules]:
        waiting = [entry for entry in waiting if entry not in reached]
        for entry in reached:  # a network may in turn get at convolutions
            modules |= sources(entry.module) if entry.built_in else _plugin_sources(entry.module)
    return digest_json(modules)


@cache
def _plugin_sources(module: str) -> dict[str, str]:
    """Source of the whole package of a plug-in, and of all of our modules that it imports."""
    own = {name: file.read_bytes().decode(errors="replace") for name, file in package_files(module).items()}
    found = dict(own)
    for source in own.values():
        with suppress(SyntaxError):  # of another version of Python, or not used: whoever loads it will be told
            for name in _imports(source):
                found |= sources(name)
    return found


@cache
def sources(module: str) -> dict[str, str]:
    """Source of `module` and of all of our modules that it imports, by name."""
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or not name.startswith(CODE):
            continue
        source = _source(name)
        if source is None:  # a name inside a module, as in `from package.module import function`
            continue
        seen[name] = source
        waiting += _imports(source)
    return seen


def _source(name: str) -> str | None:
    """Source of a module, found by its path: to import it would load torch only to read a file."""
    path = CHECKOUT.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.read_bytes().decode()
    return None


@cache
def _imports(source: str) -> tuple[str, ...]:
    names = []
    with PARSER:
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)

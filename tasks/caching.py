"""When a stage need not run again. The cache key is defined here and nowhere else.

key = digest of (stage, the part of the config that it reads, digests of its inputs, the code that computes it, and, for a
stage that reads the catalogue, its entries of the datasets).
"""

import ast
import threading
from functools import cache
from importlib.metadata import version
from typing import Any

from config.catalog import catalog
from config.paths import CHECKOUT
from config.schema import PipelineConfig
from kdgat_models.files import digest_json
from tasks.artifact import Artifact
from tasks.stage import Stage

CATALOG = "config.catalog"
IDLE = {"source", "licence", "resources"}  # fields of a catalogue entry on which no result depends
LIBRARIES = ("torch", "torch-geometric", "numba", "polars", "scikit-learn")
CODE = ("kdgat_models", "tasks.stages", "tasks.artifact", CATALOG)
PARSER = threading.Lock()  # Python 3.11's parser keeps its recursion depth for all threads in one place (gh-106905)


def cache_key(stage: Stage[Any, ...], config: PipelineConfig, inputs: dict[str, Any]) -> str:
    """Key of one execution of `stage`. `inputs`: Artifacts (their digests count), lists or dicts of them, texts, None."""
    return digest_json(
        {
            "stage": stage.name,
            "config": stage.part_of(config),
            "inputs": {name: _content(value) for name, value in sorted(inputs.items())},
            "catalogue": _catalogue(stage, [config.dataset, *inputs.get("datasets", [])]),
            "code": code_version(stage),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def _catalogue(stage: Stage[Any, ...], datasets: list[str]) -> dict[str, Any]:
    """Entries of the datasets, if the stage reads the catalogue."""
    if CATALOG not in sources(stage.module):
        return {}
    known = catalog()  # the name of a protocol, which may stand where that of a dataset does, is not in it
    return {name: known[name].model_dump(mode="json", exclude=IDLE) for name in datasets if name in known}


def _content(value: Any) -> Any:
    """What counts of an input: of artifacts, also in lists and by name, their digests."""
    if isinstance(value, Artifact):
        return value.digest
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    return {name: _content(item) for name, item in value.items()} if isinstance(value, dict) else value


def code_version(stage: Stage[Any, ...]) -> str:
    """Digest of the source of the stage's module and of all of our modules that it imports, directly or not."""
    return digest_json([sources(module) for module in (stage.module, *stage.code)])


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

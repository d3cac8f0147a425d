"""When a stage need not run again. The cache key is defined here and nowhere else.

key = digest of (stage, the config sections that matter to it, digests of its inputs, the code that computes it, and, for a
stage that reads the catalogue, its entries of the datasets).
"""

import ast
import threading
from functools import cache
from importlib.metadata import version
from typing import Any

from config.catalog import catalog
from config.paths import CHECKOUT, SHARED_STAGES
from config.schema import PipelineConfig
from kdgat_models.files import digest_json
from tasks.artifact import Artifact

CATALOG = "config.catalog"
IDLE = {"source", "licence", "resources"}  # fields of a catalogue entry on which no result depends
# Sections of the config that a stage reads; a change of any other leaves it untouched.
SECTIONS: dict[str, tuple[str, ...]] = {
    "ingest": (),
    "graphs": ("preprocessing", "augmentation"),
    "vgae": ("identity", "vgae", "training", "auxiliary", "curriculum", "seed"),
    "gat": ("identity", "gat", "training", "auxiliary", "curriculum", "loss", "seed"),
    "fusion": ("identity", "dqn", "training", "fusion", "decision", "seed"),
    "evaluation": ("decision",),
    "drift": (),
    "pool": ("preprocessing", "augmentation"),
    "trial": ("seed",),
    "protocol": ("decision",),
    "ablation_score": ("decision", "seed"),
    "ablation": (),
}
IDENTITY = ("dataset", "model_type", "scale")
NAMES = ("config", "variant", "compute")  # parameters of a task that are no inputs
LIBRARIES = ("torch", "torch-geometric", "numba", "polars", "scikit-learn")
CODE = ("kdgat_models", "tasks.stages", "tasks.artifact", CATALOG)
PARSER = threading.Lock()  # Python 3.11's parser keeps its recursion depth for all threads in one place (gh-106905)


def cache_key(stage: str, config: PipelineConfig, inputs: dict[str, Any]) -> str:
    """Key of one execution of `stage`. `inputs`: Artifacts (their digests count), lists or dicts of them, texts, None."""
    sections = config.model_dump(mode="json", include=set(SECTIONS[stage]))
    identity = IDENTITY[:1] if stage in SHARED_STAGES else IDENTITY
    return digest_json(
        {
            "stage": stage,
            "config": sections,
            "identity": [getattr(config, name) for name in identity],
            "inputs": {name: _content(value) for name, value in sorted(inputs.items())},
            "catalogue": _catalogue(stage, [config.dataset, *inputs.get("datasets", [])]),
            "code": code_version(f"tasks.stages.{stage}"),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def _catalogue(stage: str, datasets: list[str]) -> dict[str, Any]:
    """Entries of the datasets, if the stage reads the catalogue."""
    if CATALOG not in sources(f"tasks.stages.{stage}"):
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


def code_version(module: str) -> str:
    """Digest of the source of `module` and of all of our modules that it imports, directly or not."""
    return digest_json(sources(module))


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

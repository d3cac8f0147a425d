"""When a stage need not run again. The cache key is defined here and nowhere else.

key = digest of (stage, the config sections that matter to it, digests of its inputs, the code that computes it, and, for a
stage that reads the catalogue, its entries of the datasets).
Prefect keeps the records; the lock is the kernel's, so that a killed run never leaves one behind.
"""

import ast
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio.to_thread
from filelock import FileLock, Timeout
from prefect.cache_policies import CacheKeyFnPolicy, CachePolicy
from prefect.context import TaskRunContext
from prefect.locking.protocol import LockManager
from prefect.logging import get_run_logger
from prefect.transactions import IsolationLevel

from config.catalog import catalog
from config.paths import CHECKOUT, COMPLETE, SHARED_STAGES, Paths, default_root
from config.schema import PipelineConfig
from kdgat_models.files import digest_json
from tasks.artifact import Artifact, published
from tasks.damage import Say, forget, look, pointed, withdraw
from tasks.seals import damages

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


def stage_cache_policy(stage: str) -> CachePolicy:
    """Prefect's cache for a task of `stage` whose parameters are `config`, its inputs, and `compute`."""
    paths = Paths(default_root())

    def key_of(context: TaskRunContext, parameters: dict[str, Any]) -> str:
        inputs = {name: value for name, value in parameters.items() if name not in NAMES}
        key = cache_key(stage, parameters["config"], inputs)
        forget_if_lost(paths, key, lambda text: get_run_logger(context).warning("%s", text))
        return key

    policy = CacheKeyFnPolicy(cache_key_fn=key_of)
    return policy.configure(
        key_storage=paths.cache / "records",
        isolation_level=IsolationLevel.SERIALIZABLE,
        lock_manager=KernelLockManager(paths.cache / "locks"),
    )


def cached(cache_folder: Path, key: str) -> Artifact | None:
    """The artifact of a key, if its stage need not run; nothing is written."""
    folder = pointed(cache_folder, key)
    if folder is None or not (cache_folder / "records" / key).exists() or damages(folder):
        return None
    return published(folder)


def forget_if_lost(paths: Paths, key: str, say: Say) -> None:
    """Drop the record of a key whose artifact is gone or no longer what it was, so that its stage runs again.

    What was made from a damaged artifact runs again, too.
    """
    folder = pointed(paths.cache, key)
    if folder is None or not (folder / COMPLETE).exists():
        forget(paths.cache, key)
        return
    found = look(folder, say)
    if found:
        withdraw(paths, folder, found, say)


class KernelLockManager(LockManager):
    """One lock per cache key, held by flock: two pipelines compute the same thing once, and a kill frees the lock.

    Prefect's own file locks have no owner: after kill -9 they stay for ever.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, tuple[str, FileLock]] = {}
        self._guard = threading.Lock()

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.lock"

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        if self.is_lock_holder(key, holder):
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._file(key), thread_local=False)
        try:
            lock.acquire(timeout=acquire_timeout)
        except Timeout:
            return False
        with self._guard:
            self._held[key] = (holder, lock)
        return True

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        return await anyio.to_thread.run_sync(self.acquire_lock, key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        if not self.is_lock_holder(key, holder):
            raise ValueError(f"{holder} does not hold the lock of {key}")
        with self._guard:
            _, lock = self._held.pop(key)
        lock.release()

    def is_locked(self, key: str) -> bool:
        if not self._file(key).exists():
            return False
        try:
            with FileLock(self._file(key)).acquire(blocking=False):
                return False
        except Timeout:
            return True

    def is_lock_holder(self, key: str, holder: str) -> bool:
        return key in self._held and self._held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        try:
            with FileLock(self._file(key)).acquire(timeout=timeout):
                return True
        except Timeout:
            return False

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return await anyio.to_thread.run_sync(self.wait_for_lock, key, timeout)

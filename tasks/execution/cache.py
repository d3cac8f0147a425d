"""The results that stages have left: Prefect keeps the records; the lock is the kernel's, so that a killed run never leaves one
behind. What a key is made of: `tasks.caching`.
"""

import threading
from pathlib import Path
from typing import Any

import anyio.to_thread
from filelock import FileLock, Timeout
from prefect.cache_policies import CacheKeyFnPolicy, CachePolicy
from prefect.context import TaskRunContext
from prefect.locking.protocol import LockManager
from prefect.logging import get_run_logger
from prefect.transactions import IsolationLevel

from config.paths import COMPLETE, Paths, default_root
from tasks.artifact import Artifact, published
from tasks.caching import cache_key
from tasks.records.damage import Say, forget, look, pointed, withdraw
from tasks.seals import damages
from tasks.stage import Stage


def stage_cache_policy(stage: Stage[Any, ...]) -> CachePolicy:
    """Prefect's cache for the task of a stage, whose parameters are `config`, `variant` and `inputs`."""
    paths = Paths(default_root())

    def key_of(context: TaskRunContext, parameters: dict[str, Any]) -> str:
        key = cache_key(stage, parameters["config"], parameters["inputs"])
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
        """Wait at most `acquire_timeout` s, or for ever; returns whether `holder` has the lock. It holds until released."""
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
        """As `acquire_lock`, in a thread."""
        return await anyio.to_thread.run_sync(self.acquire_lock, key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Give it back; a ValueError if `holder` does not have it."""
        if not self.is_lock_holder(key, holder):
            raise ValueError(f"{holder} does not hold the lock of {key}")
        with self._guard:
            _, lock = self._held.pop(key)
        lock.release()

    def is_locked(self, key: str) -> bool:
        """Whether any process has the lock of `key`."""
        if not self._file(key).exists():
            return False
        try:
            with FileLock(self._file(key)).acquire(blocking=False):
                return False
        except Timeout:
            return True

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether `holder`, in this process, has the lock of `key`."""
        return key in self._held and self._held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait at most `timeout` s, or for ever, until nobody has the lock; returns whether that came."""
        try:
            with FileLock(self._file(key)).acquire(timeout=timeout):
                return True
        except Timeout:
            return False

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """As `wait_for_lock`, in a thread."""
        return await anyio.to_thread.run_sync(self.wait_for_lock, key, timeout)

"""What becomes of an artifact that is no longer what was published: it is named, withdrawn, and made anew when it is needed.

Whatever was made from it may have been made after the damage. It is withdrawn too, at any remove, also if what is made anew
has the digest of old.
"""

import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.paths import COMPLETE, DAMAGED, INPUTS, Paths
from config.strict_json import load_json
from kdgat_models.errors import CheckpointError
from kdgat_models.files import write_json
from kdgat_models.graphs.fold import FOLD, read_fold
from tasks.artifact import Artifact
from tasks.seals import Damage, damages, is_sealed, renew, seal

Say = Callable[[str], None]
MOST_NAMED = 3  # files of one artifact in a message


def pointer(cache_folder: Path, key: str) -> Path:
    """File that names the folder of the artifact with this cache key."""
    return cache_folder / "artifacts" / key


def pointed(cache_folder: Path, key: str) -> Path | None:
    """The folder of the artifact with this cache key; None if there is none, or none that could be read."""
    try:
        folder = Path(pointer(cache_folder, key).read_text())
        return folder if folder.is_dir() else None
    except (OSError, ValueError):
        return None


def look(folder: Path, say: Say, full: bool = False) -> list[Damage]:
    """What is wrong with a published artifact. One that is whole is sealed, if an older version made it."""
    found = damages(folder, full)
    if found:
        return found
    with contextlib.suppress(OSError):  # a root that cannot be written to can be looked at
        if is_sealed(folder):
            renew(folder)
        else:
            seal(folder)
            say(f"{folder} has no seal, as of an older version: its files are taken as they are now")
    return []


def require_whole(paths: Paths, inputs: Any, say: Say) -> None:
    """Look at all artifacts in `inputs` (which may be nested), and at what they are read together with.

    Raises:
        CheckpointError: one is damaged; it has been withdrawn, with what was made from it.
    """
    for folder in dict.fromkeys(_folders(inputs)):
        found = look(folder, say)
        if found and (folder / COMPLETE).exists():
            withdraw(paths, folder, found, say)
        if found:
            raise CheckpointError(f"{folder} cannot be used: {_named(found)}. Run again what made it, and it is made anew")


def withdraw(paths: Paths, folder: Path, found: list[Damage], say: Say) -> list[Path]:
    """Take a damaged artifact, and all that was made from it, out of the cache and from among what can be used.

    Returns:
        The folders of what was made from it.
    """
    dependent = made_from(paths.root, folder)
    for one in (folder, *dependent):
        _mark(one, found if one == folder else [Damage(str(folder), "was damaged, from which this was made")])
        _forget(paths.cache, one)
    also = f", and with it what was made from it: {', '.join(_short(paths, one) for one in dependent)}" if dependent else ""
    say(f"{_short(paths, folder)} is damaged: {_named(found)}. It is made anew{also}")
    return dependent


def made_from(root: Path, folder: Path) -> list[Path]:
    """The folders of everything that was made from the artifact in `folder`, at any remove; also if it is not finished."""
    sources = {file.parent: set(_sources(file)) for file in [*root.glob(f"*/*/*/{INPUTS}"), *root.glob(f"*/*/*/{FOLD}")]}
    found, waiting = [], [folder.resolve()]
    while waiting:
        source = waiting.pop()
        new = [made for made, needed in sources.items() if source in needed and made not in found]
        found += new
        waiting += [made.resolve() for made in new]
    return sorted(made for made in found if not (made / FOLD).exists() and not (made / DAMAGED).exists())


def _sources(file: Path) -> Iterable[Path]:
    """Folders that stand in an `inputs.json` or a `fold.json`."""
    try:
        content = load_json(file)
    except (OSError, ValueError):  # whoever made it is found damaged itself
        return
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if file.name == FOLD and isinstance(value.get("store"), str):
                yield Path(value["store"]).parent.resolve()
            if isinstance(value.get("path"), str):
                yield Path(value["path"]).resolve()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _folders(inputs: Any) -> Iterable[Path]:
    """Folders of published artifacts that a stage reads if it is given `inputs`."""
    if isinstance(inputs, dict):
        inputs = list(inputs.values())
    if isinstance(inputs, list | tuple):
        for item in inputs:
            yield from _folders(item)
    if not isinstance(inputs, Artifact) or inputs.kind == "raw":  # raw captures are compared by ingest
        return
    if (inputs.path / FOLD).exists():
        pool = read_fold(inputs.path).store.parent
        yield pool
    elif inputs.kind == "pool":
        yield inputs.path
        pool = inputs.path
    else:
        yield inputs.path
        return
    yield from _sources(pool / INPUTS)  # whose captures are read along


def _mark(folder: Path, found: list[Damage]) -> None:
    with contextlib.suppress(FileNotFoundError):
        if folder.is_dir():
            said = {"at": datetime.now(UTC).isoformat(), "files": [damage._asdict() for damage in found]}
            write_json(folder / DAMAGED, said)
            (folder / COMPLETE).unlink(missing_ok=True)


def _forget(cache_folder: Path, folder: Path) -> None:
    """Drop the record and the pointer of an artifact; the name of a run folder ends with the begin of its key."""
    for mark in (cache_folder / "artifacts").glob(f"{folder.name.rpartition('-')[2]}*"):
        if pointed(cache_folder, mark.name) in (folder, folder.resolve()):
            forget(cache_folder, mark.name)


def forget(cache_folder: Path, key: str) -> None:
    """Drop the record and the pointer of a key, so that its stage runs again."""
    (cache_folder / "records" / key).unlink(missing_ok=True)
    pointer(cache_folder, key).unlink(missing_ok=True)


def _named(found: list[Damage]) -> str:
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(map(str, found[:MOST_NAMED])) + more


def _short(paths: Paths, folder: Path) -> str:
    return str(folder.relative_to(paths.root)) if folder.is_relative_to(paths.root) else str(folder)

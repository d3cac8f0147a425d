"""What can be chosen by name: what is built in, and what other packages add by entry points of the groups `kdgat.KIND`.

Nothing is imported to know a name. A package whose code cannot be imported breaks nothing but what uses it.
"""

import difflib
import importlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, cast

from config.errors import ConfigError, PluginError
from config.registry import REGISTRY, Kind

PREFIX = "kdgat."
BUILT_IN = "built in"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # some names become those of folders
REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Registered(NamedTuple):
    """One thing that can be chosen by name, or an entry point that is refused."""

    kind: str
    name: str
    reference: str  # module:object
    provider: str  # built in, or name and version of the distribution
    problem: str | None = None  # why it cannot be chosen

    @property
    def module(self) -> str:
        """The module that it lies in."""
        return self.reference.partition(":")[0]

    @property
    def built_in(self) -> bool:
        """Whether it is ours."""
        return self.provider == BUILT_IN


def kinds() -> tuple[Kind, ...]:
    """All kinds of things that are chosen by name."""
    return tuple(REGISTRY)


def registered(kind: Kind) -> list[Registered]:
    """All of a kind: what is built in, then what packages add, also where it is refused."""
    return [*_built_in(kind), *(entry for entry in _entry_points() if entry.kind == kind)]


def misplaced() -> list[Registered]:
    """Entry points of ours that belong to no kind, or cannot be read."""
    return [entry for entry in _entry_points() if entry.kind not in REGISTRY]


def names(kind: Kind) -> list[str]:
    """The names that can be chosen, those that are built in first."""
    return [entry.name for entry in registered(kind) if entry.problem is None]


def find(kind: Kind, name: str) -> Registered:
    """What is called `name`.

    Raises:
        ConfigError: there is no such name, or the package that adds it is refused; says what there is and what is nearest.
    """
    built_in = REGISTRY[kind].built_in.get(name)
    if built_in is not None:  # without a look at what is installed
        return Registered(kind, name, built_in, BUILT_IN)
    entries = [entry for entry in registered(kind) if entry.name == name]
    chosen = [entry for entry in entries if entry.problem is None]
    if not chosen:
        raise ConfigError(unknown(kind, name))
    return chosen[0]


def unknown(kind: Kind, name: str) -> str:
    """The sentence about a name that cannot be chosen."""
    word, there = REGISTRY[kind].word, names(kind)
    refused = [entry for entry in registered(kind) if entry.name == name and entry.problem]
    if refused:
        return f"the {word} {name!r} of {refused[0].provider} is refused: {refused[0].problem}"
    nearest = difflib.get_close_matches(name, there, n=1)
    hint = f". Did you mean {nearest[0]}?" if nearest else ""
    return f"unknown {word} {name!r}; there are: {', '.join(there)}{hint}"


def load(kind: Kind, name: str) -> Any:
    """The object called `name`.

    Raises:
        ConfigError: there is no such name.
        PluginError: the package that adds it cannot be imported, or has no such object.
    """
    return load_entry(find(kind, name))


def load_entry(entry: Registered) -> Any:
    """The object that an entry refers to; raises a PluginError if it cannot be imported."""
    module, _, path = entry.reference.partition(":")
    if entry.built_in:
        return _attribute(importlib.import_module(module), path)
    try:
        return _attribute(importlib.import_module(module), path)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{entry.name} ({PREFIX}{entry.kind}) of {entry.provider} cannot be loaded from {entry.reference}: "
            f"{type(error).__name__}: {error}. Mend or uninstall the package, or choose another"
        ) from error


def _attribute(found: Any, path: str) -> Any:
    for part in path.split("."):
        found = getattr(found, part)
    return found


def package_files(module: str) -> dict[str, Path]:
    """The source files of the whole package that a module of another distribution lies in, by their names in it.

    It is not imported.

    Raises:
        PluginError: it is not there.
    """
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise PluginError(f"the package {top} is not there any more; install it, or choose another plug-in")
    if spec.submodule_search_locations is None:
        return {f"{top}.py": Path(spec.origin or "")}
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    return {f"{top}/{file.relative_to(folder)}": file for folder in folders for file in sorted(folder.rglob("*.py"))}


def _built_in(kind: Kind) -> list[Registered]:
    return [Registered(kind, name, reference, BUILT_IN) for name, reference in REGISTRY[kind].built_in.items()]


@cache
def _entry_points() -> tuple[Registered, ...]:
    """All entry points of our groups. What stands in the way of one of them is noted, and none is loaded."""
    found: list[Registered] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        name = _distribution_name(distribution)
        if name is None or name.lower() in seen:  # the first on the path is the one that is imported
            continue
        seen.add(name.lower())
        if f"[{PREFIX}" in (distribution.read_text("entry_points.txt") or ""):
            found += _of_distribution(distribution, f"{name} {distribution.version}")
    return tuple(_without_quarrels(sorted(found, key=lambda entry: (entry.kind, entry.name, entry.provider))))


def _distribution_name(distribution: metadata.Distribution) -> str | None:
    """None: what an uninstallation left behind, of which one version of the finder has no metadata, and another raises."""
    fields: Any = None
    with suppress(FileNotFoundError, metadata.PackageNotFoundError):
        fields = distribution.metadata
    return None if fields is None else cast("str | None", fields["Name"])


def _of_distribution(distribution: metadata.Distribution, provider: str) -> Iterator[Registered]:
    try:
        points = list(distribution.entry_points)
    except Exception as error:  # whatever a file of another package may do to the parser
        yield Registered("", "", "", provider, f"its entry_points.txt cannot be read: {error}")
        return
    for point in points:
        if point.group.startswith(PREFIX):
            kind = point.group.removeprefix(PREFIX)
            yield Registered(kind, point.name, point.value, provider, _problem(kind, point))


def _problem(kind: str, point: metadata.EntryPoint) -> str | None:
    if kind not in REGISTRY:
        return f"there is no group {point.group}; there are: {', '.join(PREFIX + known for known in REGISTRY)}"
    if not NAME.fullmatch(point.name):
        return "a name has letters, digits, '_', '-' and '.', and begins with a letter or digit"
    if not REFERENCE.fullmatch(point.value):
        return f"{point.value!r} is no reference; expected package.module:object"
    if point.name in REGISTRY[kind].built_in:
        return f"{point.name} is built in, and no package may take its place; it needs another name"
    return None


def _without_quarrels(entries: list[Registered]) -> Iterator[Registered]:
    """Of several packages that want one name, none gets it: which was meant cannot be told."""
    for entry in entries:
        rivals = [one.provider for one in entries if one[:2] == entry[:2] and one.provider != entry.provider]
        if rivals and entry.problem is None:
            yield entry._replace(problem=f"{', '.join(rivals)} has that name, too; uninstall one of them")
        else:
            yield entry

"""All artifacts below a root, compared byte by byte with what was published."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from config.paths import COMPLETE, Paths
from kdgat_models.errors import CheckpointError
from tasks.artifact import published
from tasks.records.damage import Say, look, withdraw
from tasks.seals import Damage, is_sealed


class Verdict(NamedTuple):
    """What became of one artifact."""

    folder: Path
    kind: str
    state: Literal["whole", "sealed now", "damaged"]
    damages: list[Damage]
    made_from_it: list[Path]  # and so withdrawn with it


def published_folders(paths: Paths) -> list[Path]:
    """Run folders that are finished and were not found damaged."""
    return sorted(mark.parent for mark in paths.root.glob(f"*/*/*/{COMPLETE}"))


def verify(
    paths: Paths, say: Say, keep: bool = False, on_folder: Callable[[Path], None] = lambda folder: None
) -> list[Verdict]:
    """Look at every artifact in full, then withdraw what is damaged and what was made from it.

    Args:
        paths: Of the root.
        say: Takes a sentence for each that is withdrawn or sealed.
        keep: Withdraw nothing.
        on_folder: Called before each folder.
    """
    verdicts = []
    for folder in published_folders(paths):
        on_folder(folder)
        verdicts.append(_judge(folder, say))
    return verdicts if keep else list(_withdrawn(paths, verdicts, say))


def _judge(folder: Path, say: Say) -> Verdict:
    sealed = is_sealed(folder)
    found = look(folder, say, full=True)
    try:
        kind = published(folder).kind
    except CheckpointError as error:
        return Verdict(folder, "unknown", "damaged", found or [Damage(COMPLETE, f"cannot be read ({error})")], [])
    return Verdict(folder, kind, "damaged" if found else "whole" if sealed else "sealed now", found, [])


def _withdrawn(paths: Paths, verdicts: list[Verdict], say: Say) -> Iterator[Verdict]:
    for verdict in verdicts:
        made = withdraw(paths, verdict.folder, verdict.damages, say) if verdict.damages else []
        yield verdict._replace(made_from_it=made)

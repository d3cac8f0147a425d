"""Files that are put in place whole: renamed from a temporary name, so that no reader and no kill meets a part of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def put_in_place() -> Iterator[set[Path]]:
    """The files that are renamed into their place meanwhile."""
    put: set[Path] = set()
    rename = os.replace

    def noted(source, target) -> None:
        rename(source, target)
        put.add(Path(target).resolve())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", noted)
        yield put


def written_in_pieces(folder: Path, put: set[Path]) -> list[str]:
    """Files below `folder` that were written where they are."""
    files = [path.resolve() for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert files
    return [str(path.relative_to(folder.resolve())) for path in files if path not in put]

"""What flows that were killed have left behind, removed by the next flow that starts below the same root.

A flow holds `runs/{id}/alive.lock` for its life. The kernel's lock ends with its process, on any machine that shares the
folder, so that the runs of which nobody holds it are those that are dead.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from fnmatch import filter as matching
from glob import escape
from pathlib import Path

from config.paths import COMPLETE, TOOLS, Paths
from kdgat_models.files import hold, is_left, is_temporary, remove_if_left
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import TABLES, RunRow

ALIVE = "alive.lock"
SCRATCH = ("dask", "tls")  # of a flow run: of no use to anybody else, and the certificates let one in
MARK = ".started-"  # and the flow run, and the attempt: that a stage has started on a worker
OUTSIDE = "none"  # the pipeline run of a stage that no flow has started


@contextmanager
def alive(paths: Paths, pipeline_run: str) -> Iterator[None]:
    """Say, for as long as it lasts, that a flow run lives."""
    mark = paths.pipeline(pipeline_run) / ALIVE
    mark.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _held(mark)
    try:
        yield
    finally:
        _remove_mark(mark)
        os.close(descriptor)


def clean_up(paths: Paths) -> None:
    """Remove what dead flow runs left: scratch folders, marks, half-written files; and note in the run store how they ended.

    What cannot be removed is left for the next time.
    """
    runs = paths.root / "runs"
    living = {run.name for run in _folders(runs) if (run / ALIVE).exists() and not is_left(run / ALIVE)}
    for run in _folders(runs):
        if run.name not in living:
            for scratch in SCRATCH:
                shutil.rmtree(run / scratch, ignore_errors=True)
            _remove_mark(run / ALIVE)
    _end_rows(RunStore(paths.store), living)
    for file in _unfinished(paths):
        if is_temporary(file):
            remove_if_left(file)
        elif file.name.startswith(MARK) and not file.name.removeprefix(MARK).startswith(tuple(living)):
            with suppress(OSError):
                file.unlink()


def _held(mark: Path) -> int:
    while True:
        descriptor = os.open(mark, os.O_CREAT | os.O_RDWR, 0o666)
        if hold(descriptor):
            return descriptor
        os.close(descriptor)


def _remove_mark(mark: Path) -> None:
    """And the folder, if there is nothing else in it."""
    with suppress(OSError):
        mark.unlink(missing_ok=True)
        mark.parent.rmdir()


def _end_rows(store: RunStore, living: set[str]) -> None:
    """End each attempt that has only begun. Its end is put right after its begin: later attempts are the newer ones."""
    names = {file.stem for file in store.files("runs")}
    for name in matching(names, "*-start"):
        ended = name.removesuffix("start") + "end"
        if ended in names:
            continue
        with suppress(OSError, ValueError):
            for row in store.rows(RunRow, escape(name)):
                if row.pipeline_run not in (None, OUTSIDE, *living):
                    store.write(RunRow, ended, [_killed(row)])


def _killed(row: RunRow) -> RunRow:
    said = "it was killed together with its flow"
    written = row.written_at and row.written_at + timedelta(microseconds=1)
    return replace(row, status="failed", reason="killed", error=said, written_at=written)


def _unfinished(paths: Paths) -> Iterator[Path]:
    """Files of folders in which something may be half done."""
    tables = [paths.store / table for table in TABLES]
    for folder in (*tables, *_folders(paths.cache)):
        yield from _files(folder)
    for dataset in _folders(paths.root):
        if dataset.name in TOOLS:
            continue
        for family in _folders(dataset):
            yield from _files(family)
            for version in _folders(family):
                if not (version / COMPLETE).exists():
                    yield from (path for path in version.rglob("*") if path.is_file())


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [path for path in folder.iterdir() if path.is_dir()]
    return []


def _files(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [path for path in folder.iterdir() if path.is_file()]
    return []

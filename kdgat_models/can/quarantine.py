"""The file of the rows that are no frames: each with its line, the reason and its text."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from kdgat_models.files import atomic_path


class BadRow(NamedTuple):
    """One row that is not a frame."""

    line: int  # from 1
    reason: str
    text: str


class Quarantine:
    """Takes rejected rows as they are found: the file gets all of them, memory keeps their number and the first one."""

    def __init__(self, open_file: Callable[[], BinaryIO]) -> None:
        self.count = 0
        self.first: BadRow | None = None
        self._open_file = open_file
        self._file: BinaryIO | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows (columns line, reason and text), which come in the order of their lines."""
        if not len(rows):
            return
        rows = rows.select(BadRow._fields)
        self.first = self.first or BadRow(*rows.row(0))
        self._file = self._file or self._open_file()
        rows.write_csv(self._file, include_header=not self.count, line_terminator="\r\n")
        self.count += len(rows)


@contextmanager
def quarantine(path: Path) -> Generator[Quarantine, None, None]:
    """A `Quarantine` whose file appears at `path` when it is whole. If it is given no row, no file is there afterwards."""
    with ExitStack() as stack:
        rejected = Quarantine(lambda: stack.enter_context(_opened(path)))
        yield rejected
    if not rejected.count:
        path.unlink(missing_ok=True)  # of an earlier run


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO, None, None]:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file

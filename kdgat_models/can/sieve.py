"""Lines of a capture -> its frames and the rows that are none, the same however the lines are cut into parts."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from kdgat_models.can.lines import BLANK, Lines
from kdgat_models.can.order import AHEAD, BEHIND, KEPT, decide
from kdgat_models.can.readers.reader import COLUMNS, Reader

AT_END = 2**62  # more lines than any file has


class Sifted(NamedTuple):
    """What was decided with one more part of the file, both in the order of the file."""

    frames: pl.DataFrame  # COLUMNS
    bad: pl.DataFrame  # line, text, torn, reason: null where `with_reasons` has yet to say it


class Sieve:
    """Holds back the frames that lines to come decide on, and the bad rows behind them: a bounded number of each."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._frames: pl.DataFrame | None = None  # COLUMNS, line, text, torn
        self._bad: list[pl.DataFrame] = []
        self._latest = -np.inf  # time of the frames that were kept

    def parts(self, lines: Iterable[Lines]) -> Iterator[Sifted]:
        """Frames and bad rows of all lines, of whatever channel."""
        for part in lines:
            yield self.sift(parsed(self._reader, part), part.last)
        yield from self.finish()

    def sift(self, rows: pl.DataFrame, lines_read: int) -> Sifted:
        """What is decided after these `rows` (see `parsed`), the last of one channel up to line `lines_read`."""
        bad = is_bad(rows)
        frames = rows.filter(~bad) if bad.any() else rows
        self._frames = frames if self._frames is None else pl.concat([self._frames, frames])
        self._bad.append(_as_bad(rows.filter(bad), None))
        return self._decide(lines_read)

    def finish(self) -> Iterator[Sifted]:
        """What was held back at the end of the file."""
        if self._frames is not None:
            yield self._decide(AT_END)

    def _decide(self, lines_read: int) -> Sifted:
        assert self._frames is not None
        time, line = self._frames["timestamp"].to_numpy(), self._frames["line"].to_numpy()
        verdict, against, self._latest = decide(time, line, self._latest, lines_read)
        decided, self._frames = self._frames[: len(verdict)], self._frames[len(verdict) :]
        for wrong, why in ((verdict == BEHIND, _behind), (verdict == AHEAD, _ahead)):
            if wrong.any():
                reasons = [why(time, other) for time, other in zip(time[: len(verdict)][wrong], against[wrong], strict=True)]
                self._bad.append(_as_bad(decided.filter(pl.Series(wrong)), reasons))
        bad = pl.concat(self._bad).sort("line")
        open_from = self._frames["line"][0] if len(self._frames) else AT_END
        self._bad = [bad.filter(pl.col("line") > open_from)]
        kept = decided if not verdict.any() else decided.filter(pl.Series(verdict == KEPT))
        return Sifted(kept.select(COLUMNS), bad.filter(pl.col("line") < open_from))


def parsed(reader: Reader, part: Lines) -> pl.DataFrame:
    """Lines -> one row of each: COLUMNS, line, text, and whether the file ends inside it."""
    line = pl.int_range(part.first, part.last + 1)
    return reader.parse(part.text).with_columns(text=part.text, line=line, torn=(line == part.last) & part.torn)


def is_bad(rows: pl.DataFrame) -> pl.Series:
    """Which rows are no frames."""
    return rows.select(pl.any_horizontal(pl.col(column).is_null() for column in COLUMNS)).to_series()


def with_reasons(reader: Reader, bad: pl.DataFrame) -> pl.DataFrame:
    """Bad rows (see `Sifted`), each with its reason."""
    if not bad["reason"].has_nulls():
        return bad
    rows = bad.select("reason", "text", "torn").iter_rows()
    reasons = [reason or _why(reader, text, torn) for reason, text, torn in rows]
    return bad.with_columns(pl.Series("reason", reasons))


def _as_bad(rows: pl.DataFrame, reasons: list[str] | None) -> pl.DataFrame:
    """Rows as bad ones, with their reasons if those are known. Blank lines need no more than a look."""
    empty = pl.col("text").str.strip_chars(BLANK) == ""
    known = pl.when(empty).then(pl.lit("the line is empty")) if reasons is None else pl.Series(reasons)
    text = pl.when(~empty).then("text").otherwise(pl.lit(""))
    return rows.select("line", text.alias("text"), "torn", known.alias("reason"))


def _behind(time: float, latest: float) -> str:
    return f"time steps back to {time} from {latest}; at most 1 ms is allowed"


def _ahead(time: float, following: float) -> str:
    return f"time jumps ahead to {time}, but frames that follow are back at {following}"


def _why(reader: Reader, line: str, torn: bool) -> str:
    return reader.diagnose(line) + (" (the file ends inside this line: it looks truncated)" if torn else "")

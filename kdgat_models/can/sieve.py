"""Rows of a recording -> its frames and the rows that are none, the same however the rows are cut into parts.

Each channel is a bus with a clock of its own: the rules of order (`kdgat_models.can.order`) hold within a channel.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from kdgat_models.can.lines import BLANK
from kdgat_models.can.order import AHEAD, BEHIND, KEPT, decide
from kdgat_models.can.readers.format import COLUMNS, Format, Rows

AT_END = 2**62  # more lines than any file has


class Sifted(NamedTuple):
    """What was decided with one more part of the recording, all in its order."""

    frames: dict[str, pl.DataFrame]  # COLUMNS, by channel
    bad: pl.DataFrame  # line, text, torn, reason: null where `with_reasons` has yet to say it
    error_frames: int  # rows that tell of an error on the bus; they are no frames, and not bad


class Sieve:
    """Holds back the frames that rows to come decide on, and the bad rows behind them: a bounded number of each."""

    def __init__(self) -> None:
        self._buses: dict[str, _Bus] = {}
        self._bad: list[pl.DataFrame] = []

    def parts(self, parts: Iterable[Rows]) -> Iterator[Sifted]:
        """Frames and bad rows of all rows."""
        for part in parts:
            errors = self._take(part)
            yield self._decide(part.last, errors)
        if self._buses or self._bad:
            yield self._decide(AT_END, 0)

    def _take(self, part: Rows) -> int:
        """Take in rows; the number of error frames among them."""
        rows = part.frames
        bad = rows.select(pl.any_horizontal(pl.col(column).is_null() for column in COLUMNS)).to_series()
        self._bad.append(_as_bad(rows.filter(bad), None))
        if part.bad is not None:
            self._bad.append(part.bad)
        frames = rows.filter(~bad) if bad.any() else rows
        errors = int(frames["is_error_frame"].sum())
        if errors:
            frames = frames.filter(~pl.col("is_error_frame"))
        for channel, own in _by_channel(frames):
            self._buses.setdefault(channel, _Bus()).add(own)
        return errors

    def _decide(self, rows_read: int, errors: int) -> Sifted:
        kept = {channel: bus.decide(rows_read, self._bad) for channel, bus in self._buses.items()}
        open_from = min((bus.open_from for bus in self._buses.values()), default=AT_END)
        bad = pl.concat(self._bad).sort("line")
        self._bad = [bad.filter(pl.col("line") > open_from)]
        frames = {channel: frames for channel, frames in kept.items() if len(frames)}
        return Sifted(frames, bad.filter(pl.col("line") < open_from), errors)


class _Bus:
    """Frames of one channel that are not decided yet."""

    def __init__(self) -> None:
        self._frames: pl.DataFrame | None = None  # ROW_COLUMNS, line, text, torn
        self._latest = -np.inf  # time of the frames that were kept

    @property
    def open_from(self) -> int:
        """Line of the first frame that is not decided yet."""
        return self._frames["line"][0] if self._frames is not None and len(self._frames) else AT_END

    def add(self, frames: pl.DataFrame) -> None:
        """Take in frames that follow."""
        self._frames = frames if self._frames is None else pl.concat([self._frames, frames])

    def decide(self, rows_read: int, bad: list[pl.DataFrame]) -> pl.DataFrame:
        """The frames that are kept (COLUMNS); those that are rejected come into `bad`."""
        assert self._frames is not None
        time, line = self._frames["timestamp"].to_numpy(), self._frames["line"].to_numpy()
        verdict, against, self._latest = decide(time, line, self._latest, rows_read)
        decided, self._frames = self._frames[: len(verdict)], self._frames[len(verdict) :]
        for wrong, why in ((verdict == BEHIND, _behind), (verdict == AHEAD, _ahead)):
            if wrong.any():
                reasons = [why(time, other) for time, other in zip(time[: len(verdict)][wrong], against[wrong], strict=True)]
                bad.append(_as_bad(decided.filter(pl.Series(wrong)), reasons))
        kept = decided if not verdict.any() else decided.filter(pl.Series(verdict == KEPT))
        return kept.select(COLUMNS)


def _by_channel(frames: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    if not len(frames):
        return
    channel = frames["channel"]
    if (channel == channel[0]).all():  # as nearly always
        yield channel[0], frames
        return
    for (name,), own in frames.partition_by("channel", as_dict=True, maintain_order=True).items():
        yield str(name), own


def with_reasons(reader: Format, bad: pl.DataFrame) -> pl.DataFrame:
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


def _why(reader: Format, line: str, torn: bool) -> str:
    return reader.diagnose(line) + (" (the file ends inside this line: it looks truncated)" if torn else "")

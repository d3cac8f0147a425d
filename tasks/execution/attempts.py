"""Attempts at a stage: how much memory the next one asks for, and whether there is a next one."""

from collections.abc import Sequence
from typing import NamedTuple

from config.sections import ResourcesConfig
from kdgat_models.errors import StageError
from kdgat_models.runs.tables import RunRow

TAKEN_AWAY = ("preempted", "cancelled", "node_failure", "lost")
FRUITLESS_WALLTIMES = 2  # attempts that may end at the walltime without having finished an epoch


class Past(NamedTuple):
    """How earlier attempts at the same run ended, oldest first, of this pipeline run and of others."""

    rows: Sequence[RunRow]  # one per attempt
    pipeline_run: str

    @property
    def number(self) -> int:
        """Number of the next attempt."""
        return max((row.attempt or 0 for row in self.rows), default=0) + 1

    def count(self, *reasons: str, epochs: int | None = None) -> int:
        """Attempts of this pipeline run that ended for one of `reasons`."""
        return sum(
            row.pipeline_run == self.pipeline_run and row.reason in reasons and epochs in (None, row.epochs)
            for row in self.rows
        )

    @property
    def multiple(self) -> int:
        """1 + attempts that ran out of memory, whichever pipeline run they were of."""
        return 1 + sum(row.reason == "out_of_memory" for row in self.rows)


class Request(NamedTuple):
    """Memory that an attempt asks for."""

    memory_mb: float
    capped: bool  # it cannot ask for more
    why: str


def request(base_mb: float, learnt_mb: float | None, multiple: int, cap_mb: float, resources: ResourcesConfig) -> Request:
    """Memory of an attempt: `base_mb` or what was learnt, times the multiple, up to the caps."""
    learned = learnt_mb is not None and resources.learned
    first = learnt_mb if learnt_mb is not None and resources.learned else base_mb
    multiple = min(multiple, resources.max_attempts)
    wanted = first if multiple == 1 else max(first, base_mb) * multiple
    limit = min(cap_mb, resources.cap_gb * 1024)
    source = "learnt from earlier runs" if learned and multiple == 1 else f"{multiple} x base"
    return Request(min(wanted, limit), wanted >= limit, source)


def due(error: BaseException, past: Past, asked: Request, epochs: int, resources: ResourcesConfig) -> bool:
    """Whether another attempt is due after `error`; `past` does not hold the attempt that just ended.

    Out of memory: with more memory, until attempts or memory are used up. Walltime: on after the last epoch, as long as there
    are new ones. Taken away otherwise: again on the same rung, a limited number of times. All other errors would come again.
    """
    if not isinstance(error, StageError):
        return False
    if error.reason == "out_of_memory":
        return not asked.capped and past.count("out_of_memory") + 1 < resources.max_attempts
    if error.reason == "walltime":
        return epochs > 0 or past.count("walltime", epochs=0) + 1 < FRUITLESS_WALLTIMES
    if error.reason in TAKEN_AWAY:
        return past.count(*TAKEN_AWAY) < resources.max_interruptions
    return False

"""Confidence intervals of a detector's metrics: a bootstrap over blocks of windows and over seeds.

Neighbouring windows are near copies of each other, so that resampling windows would promise too much. What is drawn with
replacement are whole blocks of neighbours (Kuensch 1989) and, where a detector was trained with several seeds, the seeds.
All seeds saw the same windows: a resample draws its blocks once, for all of its seeds, and takes the mean over seeds.

Few units make intervals too narrow. On simulated traffic, 95 % intervals of one seed cover the truth in 94 % of cases with
160 blocks, 93 % with 40, 90 % with 10, 82 % with 5. Where seeds differ more than blocks do, three seeds cover the mean of
all seeds in 3/4 of cases: the interval ends at the lowest and the highest of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from kdgat_models.errors import ConfigError, DatasetError, SchemaError

QUANTILES = 256  # of each class
DRAWS_AT_ONCE = 2**22  # block numbers in memory

Array = NDArray[np.float64]


class ScoredWindows(NamedTuple):
    """G windows, and the scores and thresholds of S seeds of one detector."""

    labels: NDArray[np.integer[Any]]  # [G], 0 or 1
    scores: NDArray[np.floating[Any]]  # [S, G], higher is more of an attack
    thresholds: NDArray[np.floating[Any]]  # [S]; a window at or above its seed's is flagged
    blocks: NDArray[np.integer[Any]]  # [G], any numbers; windows of one number are drawn together


class Interval(NamedTuple):
    """A metric, mean over seeds, and the ends of its interval."""

    value: float | None  # exact; None if undefined (one class only)
    low: float | None  # None with `high`: see `interval`
    high: float | None


def time_blocks(captures: NDArray[np.integer[Any]], windows_per_block: int) -> NDArray[np.int64]:
    """Block [G] of each window: runs of about `windows_per_block` neighbours, none across two captures.

    Args:
        captures: [G], the capture of each window; windows of one capture lie together, in time order.
        windows_per_block: Longer than windows depend on each other; a capture is cut into equal parts nearest to it.
    """
    if windows_per_block < 1:
        raise ConfigError(f"windows_per_block is {windows_per_block}; a block has at least 1 window")
    borders = np.flatnonzero(np.diff(captures)) + 1
    lengths = np.diff(borders, prepend=0, append=len(captures))
    parts = np.maximum(np.rint(lengths / windows_per_block).astype(np.int64), 1)
    within = np.arange(len(captures)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(np.cumsum(parts) - parts, lengths) + within * np.repeat(parts, lengths) // np.repeat(lengths, lengths)


def interval(
    metric: str, windows: ScoredWindows, rng: np.random.Generator, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Percentile interval of `metric` over resamples of blocks and seeds.

    Memory: 4 bytes x blocks x 4 (f1) or x about 2000 (roc_auc), for each seed.

    Args:
        metric: One of `METRICS`. A resample's ROC-AUC is computed on bins of scores. On all windows that is less than
            0.002 off, and 1e-5 as a rule; in a resample it is about as much.
        windows: What was scored, and the blocks.
        rng: The only source of chance.
        resamples: How many.
        level: Share of the resamples that lies between the ends.

    Returns:
        No ends where they would mean nothing: there is one block only, or the metric is undefined in more than
        1 - level of the resamples. Otherwise such resamples are left out.

    Raises:
        ConfigError: an unknown metric, no resample, or a level outside (0, 1).
        SchemaError: the arrays do not belong together.
        DatasetError: a score is NaN.
    """
    if metric not in METRICS:
        raise ConfigError(f"no interval for metric {metric!r}; choose one of {', '.join(METRICS)}")
    if resamples < 1 or not 0 < level < 1:
        raise ConfigError(f"resamples is {resamples} and level is {level}; give at least 1 resample and a level within (0, 1)")
    _check(windows)
    chosen, labels = METRICS[metric], np.asarray(windows.labels) == 1
    if not chosen.defined(labels):
        return Interval(None, None, None)
    seeds = list(zip(np.asarray(windows.scores, np.float64), windows.thresholds, strict=True))
    value = float(np.mean([chosen.exact(labels, scores, threshold) for scores, threshold in seeds]))
    names, block = np.unique(windows.blocks, return_inverse=True)
    if len(names) < 2:
        return Interval(value, None, None)
    counts = [_block_counts(block, *chosen.cells(labels, scores, threshold)) for scores, threshold in seeds]
    drawn = _resample(counts, chosen.value, rng, resamples)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < level * resamples:
        return Interval(value, None, None)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _check(windows: ScoredWindows) -> None:
    labels, scores, thresholds, blocks = (np.asarray(column) for column in windows)
    if scores.ndim != 2 or scores.shape != (len(thresholds), len(labels)) or not len(scores) or len(blocks) != len(labels):
        raise SchemaError(
            f"scores {scores.shape}, labels {labels.shape}, thresholds {thresholds.shape} and blocks {blocks.shape} do not "
            "belong together; give scores [seeds, windows], a threshold per seed, a label and a block per window"
        )
    if np.isnan(scores).any():
        seed, window = np.argwhere(np.isnan(scores))[0]
        raise DatasetError(f"the score of window {window} by seed {seed} is NaN; score the windows again with a sound model")


def _block_counts(block: NDArray[np.int64], cell: NDArray[np.int64], cells: int) -> NDArray[np.float32]:
    """[blocks, cells], the windows in each cell of each block. A resample's counts are a weighted sum of the rows."""
    counts = np.bincount(block * cells + cell, minlength=(int(block.max()) + 1) * cells)
    return counts.reshape(-1, cells).astype(np.float32)  # sums are exact up to 2**24 windows in a cell


def _resample(
    counts: list[NDArray[np.float32]], value: Callable[[Array], Array], rng: np.random.Generator, resamples: int
) -> Array:
    """The metric in each resample [resamples], mean over its seeds; NaN where undefined."""
    blocks = len(counts[0])
    at_once = max(DRAWS_AT_ONCE // blocks, 1)
    rows = []
    for begin in range(0, resamples, at_once):
        size = min(at_once, resamples - begin)
        draws = rng.integers(blocks, size=(size, blocks)) + blocks * np.arange(size)[:, None]
        weights = np.bincount(draws.ravel(), minlength=size * blocks).reshape(size, blocks).astype(np.float32)
        rows.append(np.stack([value((weights @ of_seed).astype(np.float64)) for of_seed in counts], axis=1))
    values = np.concatenate(rows)
    seeds = rng.integers(len(counts), size=values.shape)
    return np.take_along_axis(values, seeds, axis=1).mean(axis=1)


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _confusion_cells(labels: NDArray[np.bool_], scores: NDArray[Any], threshold: float) -> tuple[NDArray[np.int64], int]:
    return 2 * labels + (scores >= threshold).astype(np.int64), 4


def _f1(counts: Array) -> Array:
    """F1 [resamples] of counts of true negatives, false positives, false negatives and true positives [resamples, 4]."""
    _, fp, fn, tp = counts.T
    return np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def _exact_f1(labels: NDArray[np.bool_], scores: NDArray[Any], threshold: float) -> float:
    cell, cells = _confusion_cells(labels, scores, threshold)
    return float(_f1(np.bincount(cell, minlength=cells)[None].astype(np.float64))[0])


def _score_cells(labels: NDArray[np.bool_], scores: NDArray[Any], _threshold: float) -> tuple[NDArray[np.int64], int]:
    """Bins between quantiles of both classes, so that neither a rare class nor a common one falls into a few of them.

    A quantile has a bin of its own: however often a score is repeated, its ties are exact. The bins between hold less
    than q = 1 / (QUANTILES - 1) of each class, so that at most q of all pairs share one, and count one half each.
    """
    ordered = (np.sort(scores[labels == label]) for label in (False, True))
    quantiles = np.concatenate([of_class[np.linspace(0, len(of_class) - 1, QUANTILES).astype(int)] for of_class in ordered])
    edges = np.unique(np.concatenate([quantiles, np.nextafter(quantiles, np.inf)]))
    bins = len(edges) + 1
    return labels * bins + np.searchsorted(edges, scores, side="right"), 2 * bins


def _roc_auc(counts: Array) -> Array:
    """ROC-AUC [resamples] of normal and attack windows per bin of scores [resamples, 2 x bins]; half a pair within a bin."""
    normal, attack = np.split(counts, 2, axis=1)
    below = np.cumsum(normal, axis=1) - normal / 2
    return _ratio((attack * below).sum(axis=1), normal.sum(axis=1) * attack.sum(axis=1))


class _Metric(NamedTuple):
    defined: Callable[[NDArray[np.bool_]], bool]  # by the labels alone
    exact: Callable[[NDArray[np.bool_], NDArray[Any], float], float]
    cells: Callable[[NDArray[np.bool_], NDArray[Any], float], tuple[NDArray[np.int64], int]]  # cell of each window, cells
    value: Callable[[Array], Array]  # of counts per cell [resamples, cells]


METRICS = {
    "f1": _Metric(lambda labels: bool(labels.any()), _exact_f1, _confusion_cells, _f1),
    "roc_auc": _Metric(
        lambda labels: bool(labels.any() and not labels.all()),
        lambda labels, scores, _threshold: float(roc_auc_score(labels, scores)),
        _score_cells,
        _roc_auc,
    ),
}

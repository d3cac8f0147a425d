"""What changing one choice does to a detector: the same folds and seeds with it and without it.

An effect is the mean of level minus base over pairs of equal fold and seed. Its interval is that of a bootstrap over the
pairs. It takes them for independent, although the pairs of a fold share their windows and those of a seed their start: where
folds differ more than seeds do, the interval is too narrow for a statement about other vehicles.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.ablation.rows import Effect, Effects, LevelRow, Metric, Score, Spread

RESAMPLES, LEVEL = 2000, 0.95


def spread(metric: Metric, scores: Sequence[Score]) -> Spread:
    """Mean and standard deviation of `metric`. Folds in which it is undefined are left out."""
    seeds = [
        [value for score in scores if score.seed == seed and (value := getattr(score, metric)) is not None]
        for seed in sorted({score.seed for score in scores})
    ]
    means = [float(np.mean(values)) for values in seeds if values]
    if not means:
        return Spread(None, None)
    return Spread(float(np.mean(means)), float(np.std(means, ddof=1)) if len(means) > 1 else None)


def effect(metric: Metric, level: Sequence[Score], base: Sequence[Score], seed: int = 0) -> Effect:
    """Effect of `level` on `metric`; `seed` is that of the resamples.

    Raises:
        DatasetError: the two are not of the same folds and seeds.
    """
    before = {(score.fold, score.seed): getattr(score, metric) for score in base}
    after = {(score.fold, score.seed): getattr(score, metric) for score in level}
    if before.keys() != after.keys():
        raise DatasetError(f"a level has {len(after)} folds and seeds, the base {len(before)}, and not the same ones")
    pairs = sorted(pair for pair in before if before[pair] is not None and after[pair] is not None)
    if not pairs:
        return Effect(None, None, None)
    differences = np.array([after[pair] - before[pair] for pair in pairs])
    value = float(differences.mean())
    if not has_interval(pairs):
        return Effect(value, None, None)
    low, high = np.quantile(_resampled_means(differences, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Effect(value, float(low), float(high))


def has_interval(pairs: Sequence[tuple[str, int]]) -> bool:
    """Whether pairs of fold and seed say how far effects scatter: there are two of each."""
    folds, seeds = ({pair[part] for pair in pairs} for part in (0, 1))
    return len(folds) > 1 and len(seeds) > 1


def ablation_rows(table: Mapping[str, Sequence[str]], runs: Mapping[tuple[str, str], Sequence[Score]]) -> list[LevelRow]:
    """One row per factor and level.

    Args:
        table: Levels of each factor, the base first.
        runs: Scores by factor and level.
    """
    return [_row(factor, level, levels[0], runs) for factor, levels in table.items() for level in levels]


def _row(factor: str, level: str, base: str, runs: Mapping[tuple[str, str], Sequence[Score]]) -> LevelRow:
    scores, of_base = runs[factor, level], runs[factor, base]
    effects = None if level == base else Effects(effect("f1", scores, of_base), effect("roc_auc", scores, of_base))
    return LevelRow(factor, level, level == base, spread("f1", scores), spread("roc_auc", scores), effects)


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means [resamples] of as many values as there are, drawn with replacement."""
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    return values[draws].mean(axis=1)

"""Whether several trainings of a model count on the same features: how alike importances and the top k of them are.

In what follows there are M sets of importances (one of each training) of the same d features.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import ConfigError

LEAST_FOR_INTERVAL = 3  # of two sets of the same size, the variance below is 0 whatever they are
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class FeatureShare(NamedTuple):
    """In which share of the trainings a feature, by its number from 0, is among the top k."""

    feature: int
    share: float


class Stability(NamedTuple):
    """How alike M trainings are. None: undefined, as nothing is among the top k, or importances are all the same."""

    snapshots: int  # M
    top: int  # k
    jaccard: float | None  # of the top k, mean over pairs; 1: the same features, 0: none in common
    kendall: float | None  # tau-b of the importances, mean over pairs; 1: the same order, 0: unrelated, -1: reversed
    nogueira: float | None  # their index; 1: the same features, 0: as alike as random ones
    interval: Interval | None  # of that index, at CONFIDENCE
    always: tuple[int, ...]  # features that are among the top k every time
    sometimes: tuple[FeatureShare, ...]  # that come and go, most often there first


def stability(importances: NDArray[np.float64], top: int) -> Stability:
    """Compare importances [M, d] and the `top` features of each.

    Raises:
        ConfigError: there are fewer than two sets, or `top` is not between 1 and d - 1.
    """
    count, features = importances.shape
    if count < 2:
        raise ConfigError(f"stability compares at least two sets of importances, {count} given; train with another seed")
    chosen = np.stack([top_features(row, top) for row in importances])
    share = chosen.mean(0)
    often = sorted(range(features), key=lambda feature: (-share[feature], feature))
    return Stability(
        count,
        top,
        _mean([jaccard(a, b) for a, b in combinations(chosen, 2)]),
        _mean([kendall_tau(a, b) for a, b in combinations(importances, 2)]),
        nogueira(chosen),
        nogueira_interval(chosen, CONFIDENCE),
        tuple(feature for feature in often if share[feature] == 1),
        tuple(FeatureShare(feature, float(share[feature])) for feature in often if 0 < share[feature] < 1),
    )


def top_features(importance: NDArray[np.float64], top: int) -> NDArray[np.bool_]:
    """Which features [d] are the `top` most important.

    Of features that are equal and would not all fit, none is: the order in which features are listed decides nothing.

    Raises:
        ConfigError: `top` is not between 1 and d - 1; all of the features would say nothing.
    """
    if not 1 <= top < len(importance):
        raise ConfigError(f"the top {top} of {len(importance)} features says nothing; choose from 1 to {len(importance) - 1}")
    best_left_out = np.sort(importance)[-top - 1]
    return importance > best_left_out


def jaccard(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Size of the intersection of two sets over that of their union; None if both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else None


def kendall_tau(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Rank correlation tau-b (Kendall 1945), which allows for ties; None if all values of one are the same."""
    a, b = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    untied = sqrt(float(np.abs(a).sum()) * float(np.abs(b).sum()))
    return float((a * b).sum()) / untied if untied else None


def nogueira(chosen: NDArray[np.bool_]) -> float | None:
    """Stability index of M sets of d features [M, d] (Nogueira, Sechidis & Brown 2018, eq. 4): at most 1, 0 by chance.

    None if all sets are empty, or all have all features.
    """
    count, features = chosen.shape
    share = chosen.mean(0)  # p_f
    mean_size = float(share.sum()) / features  # k / d
    by_chance = mean_size * (1 - mean_size)
    if by_chance <= 0:
        return None
    variance = count / (count - 1) * share * (1 - share)  # s_f^2
    return 1 - float(variance.mean()) / by_chance


def nogueira_interval(chosen: NDArray[np.bool_], confidence: float) -> Interval | None:
    """Asymptotic confidence interval of the index (section 5, Theorem 7 and Corollary 8), cut at 1, which it cannot exceed.

    It is asymptotic in M: with a handful of sets it is a rough guide. None if there are fewer than LEAST_FOR_INTERVAL.
    """
    count, features = chosen.shape
    index = nogueira(chosen)
    if index is None or count < LEAST_FOR_INTERVAL:
        return None
    share = chosen.mean(0)
    mean_size, sizes = float(share.sum()) / features, chosen.sum(1) / features  # k / d and k_i / d
    own = (chosen * share).mean(1) - sizes * mean_size + index / 2 * (2 * mean_size * sizes - sizes - mean_size + 1)
    own = own / (mean_size * (1 - mean_size))  # phi_i
    variance = 4 / count**2 * float(((own - own.mean()) ** 2).sum())
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(variance)
    return Interval(index - half, min(index + half, 1.0))


def chance_jaccard(features: int, top: int, level: float) -> float | None:
    """The least Jaccard index that the top k of two unrelated rankings of d features reach in at most `level` of all cases.

    How many two random sets of k out of d have in common is hypergeometric. None if even the same set is not that rare.
    """
    probability = [comb(top, common) * comb(features - top, top - common) / comb(features, top) for common in range(top + 1)]
    rare = [common for common in range(top + 1) if sum(probability[common:]) <= level]
    return min(rare) / (2 * top - min(rare)) if rare else None


def chance_kendall(features: int, level: float) -> float:
    """What tau of two unrelated rankings of d features exceeds in `level` of all cases.

    Kendall 1938: without ties, tau is about normal around 0 with variance 2 (2 d + 5) / (9 d (d - 1)).
    """
    variance = 2 * (2 * features + 5) / (9 * features * (features - 1))
    return NormalDist().inv_cdf(1 - level) * sqrt(variance)


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of those that are defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None

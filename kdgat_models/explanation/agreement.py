"""Which snapshots of importance belong beside each other, and whether they agree."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np

from kdgat_models.explanation.importance import Feature, ImportanceMethod
from kdgat_models.explanation.snapshots import Origin, Snapshot
from kdgat_models.explanation.stability import (
    Stability,
    chance_jaccard,
    chance_kendall,
    jaccard,
    kendall_tau,
    stability,
    top_features,
)

By = Literal["seed", "fold", "retraining", "night"]
TOP_FEATURES = 10  # of a ranking, that are compared as a set
CHANCE = 0.05  # how rarely unrelated rankings may look as alike as two that are said to agree


class Group(NamedTuple):
    """What snapshots that are compared have in common. None: they differ in it, or it does not apply."""

    dataset: str
    protocol: str | None
    variant: str
    method: ImportanceMethod
    features: tuple[Feature, ...]
    seed: int | None
    fold: str | None
    settings: str | None

    @property
    def name(self) -> str:
        """For tables."""
        parts = [f"seed {self.seed}" if self.seed is not None else "", self.fold or ""]
        return " ".join([f"{self.protocol or self.dataset}/{self.variant}", *filter(None, parts)])


class _Comparison(NamedTuple):
    """What is common to the snapshots of a group, and what tells them apart."""

    seed: Callable[[Snapshot], int | None]
    fold: Callable[[Snapshot], str | None]
    member: Callable[[Snapshot], str]  # of those with the same one, the newest counts
    settings: Callable[[Snapshot], str | None] = lambda snapshot: snapshot.origin.settings


def _seed(snapshot: Snapshot) -> int:
    return snapshot.origin.seed


def _fold(snapshot: Snapshot) -> str | None:
    return snapshot.fold


COMPARISONS: dict[By, _Comparison] = {
    "seed": _Comparison(lambda snapshot: None, _fold, lambda snapshot: str(snapshot.origin.seed)),
    "fold": _Comparison(_seed, lambda snapshot: None, lambda snapshot: snapshot.fold or ""),
    "retraining": _Comparison(_seed, _fold, lambda snapshot: snapshot.origin.run_id, lambda snapshot: None),
    "night": _Comparison(_seed, _fold, lambda snapshot: snapshot.night, lambda snapshot: None),
}


def grouped(snapshots: Iterable[Snapshot], by: By) -> dict[Group, dict[str, Snapshot]]:
    """Snapshots that differ in `by` and are alike in all else, by what tells them apart; of several alike, the newest.

    A snapshot that is of no fold is in no group by fold.
    """
    comparison, groups = COMPARISONS[by], dict[Group, dict[str, Snapshot]]()
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.trained_at):
        if by == "fold" and snapshot.fold is None:
            continue
        of = snapshot.origin
        common = (of.dataset, of.protocol, of.variant, snapshot.method, snapshot.features)
        group = Group(*common, comparison.seed(snapshot), comparison.fold(snapshot), comparison.settings(snapshot))
        members = groups.setdefault(group, {})
        members.pop(comparison.member(snapshot), None)  # so that members stand in the order of their trainings
        members[comparison.member(snapshot)] = snapshot
    return groups


class Agreement(NamedTuple):
    """How alike the snapshots of a group are."""

    group: Group
    members: tuple[str, ...]  # seeds, folds, runs or nights
    stability: Stability

    @property
    def always(self) -> list[Feature]:
        """Features that are among the top k every time, in the order of the schema."""
        return [self.group.features[number] for number in self.stability.always]

    @property
    def sometimes(self) -> list[tuple[Feature, float]]:
        """Features that come and go, with the share of the snapshots in which each is among the top k."""
        return [(self.group.features[feature], share) for feature, share in self.stability.sometimes]


def agreements(snapshots: Iterable[Snapshot], by: By, top: int = TOP_FEATURES) -> list[Agreement]:
    """Each group that has at least two snapshots, and how alike they are.

    Raises:
        ConfigError: `top` is below 1, or as large as the number of features.
    """
    found = []
    for group, members in grouped(snapshots, by).items():
        if len(members) > 1:
            importances = np.array([[row.importance for row in member.importances] for member in members.values()])
            found.append(Agreement(group, tuple(members), stability(importances, top)))
    return found


class Disagreement(NamedTuple):
    """The newest training of a model counts on other features than those before it did."""

    newest: Snapshot
    earlier: int  # trainings that it is compared with
    jaccard: float  # mean over them
    kendall: float
    least_jaccard: float | None  # what unrelated rankings reach in CHANCE of all cases; None: even 1 is not that rare
    least_kendall: float

    @property
    def sentence(self) -> str:
        """For a report."""
        of = self.newest.origin
        least = "" if self.least_jaccard is None else f", by chance below {self.least_jaccard:.2f}"
        return (
            f"the newest classifier of {of.dataset}/{of.variant} ({of.run_id}) counts on other features than the "
            f"{self.earlier} before it: Jaccard index of the top {TOP_FEATURES} {self.jaccard:.2f}{least}; Kendall's tau "
            f"{self.kendall:.2f}, by chance below {self.least_kendall:.2f}. "
            f"`kdgat stability --dataset {of.dataset} --variant {of.variant} --by retraining` compares them"
        )


def disagreement(snapshots: Iterable[Snapshot], dataset: str, variant: str) -> Disagreement | None:
    """Whether the newest training of a variant on a dataset disagrees with those before it; None: no, or nothing to compare.

    It does if its mean Jaccard index of the TOP_FEATURES or its mean tau with them is below what two unrelated rankings reach
    in CHANCE of all cases (hypergeometric, and Kendall 1938): then nothing tells its features from a draw. Both limits follow
    from the number of features alone.
    """
    known = [item for item in snapshots if _is_of(item.origin, dataset, variant)]
    if not known:
        return None
    newest = max(known, key=lambda snapshot: (snapshot.trained_at, snapshot.snapshot_id))
    alike = (newest.method, newest.features, newest.fold)
    earlier = [item for item in known if item is not newest and (item.method, item.features, item.fold) == alike]
    d = len(newest.features)
    if not earlier or d <= TOP_FEATURES:
        return None
    jaccards, taus = zip(*(_likeness(newest, other) for other in earlier), strict=True)
    means = sum(jaccards) / len(earlier), sum(taus) / len(earlier)
    found = Disagreement(newest, len(earlier), *means, chance_jaccard(d, TOP_FEATURES, CHANCE), chance_kendall(d, CHANCE))
    apart = found.least_jaccard is not None and found.jaccard < found.least_jaccard
    return found if apart or found.kendall < found.least_kendall else None


def _is_of(origin: Origin, dataset: str, variant: str) -> bool:
    return origin.dataset == dataset and origin.protocol is None and origin.variant == variant


def _likeness(first: Snapshot, second: Snapshot) -> tuple[float, float]:
    """Jaccard index of the TOP_FEATURES and tau of two snapshots; where one is undefined, nothing is alike: 0."""
    a, b = (np.array([row.importance for row in snapshot.importances]) for snapshot in (first, second))
    return jaccard(top_features(a, TOP_FEATURES), top_features(b, TOP_FEATURES)) or 0.0, kendall_tau(a, b) or 0.0

"""How much each feature counts for a classifier: one number for each node and edge feature, and its rank."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import NonFiniteError

FeatureKind = Literal["node", "edge"]
ImportanceMethod = Literal["integrated_gradients", "permutation"]


class Feature(NamedTuple):
    """A column of the graphs. The same name may stand at nodes and at edges."""

    kind: FeatureKind
    name: str


class FeatureImportance(NamedTuple):
    """What a feature counts for."""

    feature: Feature
    importance: float
    rank: float  # 1 is the most important; equal importances share the mean of their ranks


def ranked(features: Sequence[Feature], importance: NDArray[np.float64]) -> list[FeatureImportance]:
    """The features with their importance [features], in the order given, and their ranks.

    Raises:
        NonFiniteError: an importance is NaN or infinite; names the feature.
    """
    for feature, value in zip(features, importance, strict=True):
        if not np.isfinite(value):
            raise NonFiniteError(f"the importance of the {feature.kind} feature {feature.name} is {value}")
    above = (importance[None, :] > importance[:, None]).sum(1)
    equal = (importance[None, :] == importance[:, None]).sum(1)
    ranks = above + (equal + 1) / 2
    return [FeatureImportance(*row) for row in zip(features, importance.tolist(), ranks.tolist(), strict=True)]

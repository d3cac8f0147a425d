"""Vocabulary: arbitration IDs -> embedding indices. Looked up, hashed, or all the same."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from config.sections import IdentityConfig

UNKNOWN = 0
MOST_IDS = 1_000_000  # no vehicle has a thousandth of it


def _ascending(ids: tuple[int, ...]) -> tuple[int, ...]:
    if any(a >= b for a, b in pairwise(ids)):
        raise ValueError("arbitration IDs must ascend")
    return ids


# The IDs of a vocabulary as files hold them.
KnownIds = Annotated[
    tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...], Field(max_length=MOST_IDS), AfterValidator(_ascending)
]


class Vocabulary(NamedTuple):
    """`ids` ascending; ID `ids[i]` has embedding index i + 1. Every other ID has index UNKNOWN, or that of its bucket.

    Without IDs and buckets all IDs have index UNKNOWN: the model is not told which is which.
    """

    ids: tuple[int, ...]
    buckets: int = 0

    @property
    def num_ids(self) -> int:
        """Size of an embedding table: the vocabulary, UNKNOWN and the buckets."""
        return len(self.ids) + 1 + self.buckets

    @classmethod
    def seen_through(cls, known: "Vocabulary", identity: IdentityConfig) -> "Vocabulary":
        """What a model with this encoding sees of the IDs in the vocabulary `known` of its training."""
        if identity.encoding == "lookup":
            return known
        return cls((), identity.buckets if identity.encoding == "hash" else 0)

    @classmethod
    def of(cls, ids: Iterable[int]) -> "Vocabulary":
        """The vocabulary of these arbitration IDs, in whatever order and however often."""
        return cls(tuple(sorted({int(identifier) for identifier in ids})))

    def encode(self, arbitration_ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Embedding indices of `arbitration_ids`, of the same shape."""
        known = np.asarray(self.ids, dtype=np.uint32)
        if self.buckets:  # Fibonacci hashing (Knuth): neighbouring IDs fall into different buckets
            spread = (arbitration_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
            return (1 + spread % np.uint64(self.buckets)).astype(np.int64)
        if not len(known):
            return np.full(arbitration_ids.shape, UNKNOWN, np.int64)
        place = np.minimum(np.searchsorted(known, arbitration_ids), len(known) - 1)
        return np.where(known[place] == arbitration_ids, place + 1, UNKNOWN).astype(np.int64)

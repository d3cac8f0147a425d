"""Vocabulary: arbitration IDs seen in normal training traffic -> embedding indices; one index for all others."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 0


class Vocabulary(NamedTuple):
    """`ids` ascending; ID `ids[i]` has embedding index i + 1, every other ID has index UNKNOWN."""

    ids: tuple[int, ...]

    @property
    def num_ids(self) -> int:
        """Size of an embedding table: the vocabulary and UNKNOWN."""
        return len(self.ids) + 1

    @classmethod
    def of(cls, ids: Iterable[int]) -> "Vocabulary":
        return cls(tuple(sorted({int(identifier) for identifier in ids})))

    def encode(self, arbitration_ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Embedding indices of `arbitration_ids`, of the same shape."""
        known = np.asarray(self.ids, dtype=np.uint32)
        if not len(known):
            return np.full(arbitration_ids.shape, UNKNOWN, np.int64)
        place = np.minimum(np.searchsorted(known, arbitration_ids), len(known) - 1)
        return np.where(known[place] == arbitration_ids, place + 1, UNKNOWN).astype(np.int64)

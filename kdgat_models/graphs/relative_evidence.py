"""What schema `relative` knows of windows beside what models read: which IDs do not come any more."""

import numba
import numpy as np
from numpy.typing import NDArray

from kdgat_models.graphs.relative_measures import MEASURES
from kdgat_models.graphs.relative_state import Norms
from kdgat_models.graphs.schema import Evidence

SILENT_GAPS = 3.0  # times its longest gap
HEARD_OFTEN = 20  # frames of an ID before its longest gap means anything
MOST_SILENT = 4  # IDs in the evidence of a window


def room_for_evidence(windows: int, window_size: int) -> Evidence:
    """Room for the evidence of some windows."""
    silent = (windows, MOST_SILENT)
    measures = np.empty((windows, window_size, len(MEASURES)), np.float32)
    return Evidence(measures, np.full(silent, -1, np.int64), np.zeros(silent), np.zeros(silent))


def name_silent(silent: NDArray[np.int64], slots: dict[int, int]) -> None:
    """Slots -> the arbitration IDs that have them, in place; -1 stays."""
    found = silent >= 0
    if found.any():
        silent[found] = np.array(list(slots), np.int64)[silent[found]]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def find_silent(
    now: float, norms: Norms, slots: int, silent: NDArray[np.int64], silent_for: NDArray[np.float64], gap: NDArray[np.float64]
) -> None:
    """Write the slots of the IDs that have been silent for SILENT_GAPS times their longest gap, the longest silence first."""
    for k in range(slots):
        norm = norms[k]
        since = now - norm.last
        if norm.count < HEARD_OFTEN or since <= SILENT_GAPS * norm.longest_gap:
            continue
        place = MOST_SILENT
        while place > 0 and since > silent_for[place - 1]:
            place -= 1
        for later in range(MOST_SILENT - 1, place, -1):
            silent[later], silent_for[later], gap[later] = silent[later - 1], silent_for[later - 1], gap[later - 1]
        if place < MOST_SILENT:
            silent[place], silent_for[place], gap[place] = k, since, norm.longest_gap

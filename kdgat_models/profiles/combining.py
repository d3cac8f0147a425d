"""Several profiles of one vehicle -> one; and what a refresh may change in a profile.

Norms that are means are averaged with the frames that set them as weights; what was seen is united; counts are added.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.can.naming import id_text
from kdgat_models.errors import ProfileError
from kdgat_models.graphs.relative_state import FOLLOWED, FOLLOWS, NORMS, RelativeState, pair_cell, pair_row
from kdgat_models.profiles.profile import Profile

MEANS = ("period", "jitter", "early", "hamming", "surprisal", "misses", "novel", "hits", "flips")
SUMS = ("count", "trust", "doubts", "resets")
LARGEST = ("longest", "longest_gap", "record")
LEAST_SHARED = 0.5  # of the IDs of the smaller profile, that two of one vehicle have in common

# What one refresh may change. An attacker who owns the traffic of a refresh moves a norm by no more than this.
MOST_DRIFT = 0.1  # log2 of the period, 7 %
LEAST_NEW_VALUES = 16  # that the bytes of an ID may have beside those that they had; no more than they had, where that is more
MOST_GAP = 2.0  # times the longest gap of an ID: else a silence that was taught is none the next time
MOST_TRUST = 1.25  # times the frames that set the norms before: what is old keeps its weight


class Refreshed(NamedTuple):
    """A profile after a refresh, and what of the new traffic was not learnt, for people."""

    profile: Profile
    refused: list[str]


def merged(first: Profile, second: Profile) -> Profile:
    """What two profiles of one vehicle know together; the order makes no difference but for rounding and the order of IDs.

    Raises:
        ProfileError: they have few IDs in common, so that they are of two vehicles or buses.
    """
    shared = set(first.ids) & set(second.ids)
    fewest = min(len(first.ids), len(second.ids))
    if len(shared) < LEAST_SHARED * fewest:
        raise ProfileError(
            f"the profiles have {len(shared)} of {fewest} arbitration IDs in common: they are of two vehicles, or of two buses "
            "of one. Keep a profile for each"
        )
    state = _united(first.state, second.state)
    about = first.about.model_copy(
        update={
            "learnt": max(first.about.learnt, second.about.learnt),
            "seconds": first.about.seconds + second.about.seconds,
            "frames": first.about.frames + second.about.frames,
            "sources": first.about.sources + second.about.sources,
            "notes": first.about.notes + second.about.notes,
        }
    )
    return Profile(about, state)


def refreshed(old: Profile, new: Profile, *, learn_ids: bool = False) -> Refreshed:
    """`old` after it has seen the traffic that made `new` out of it, within bounds.

    Args:
        old: The profile that is trusted.
        new: The same profile after more traffic of the vehicle: `new` was learnt by a capture that started from `old`.
        learn_ids: Whether IDs that `old` does not know are learnt.
    """
    known, refused = len(old.ids), list[str]()
    before, after = old.state.norms[:known], new.state.norms.copy()
    moved = np.abs(after["period"][:known] - before["period"]) > MOST_DRIFT
    for field in ("period", "jitter", "early"):
        after[field][:known][moved] = before[field][moved]
    heard = before["longest_gap"] > 0
    stretched = heard & (after["longest_gap"][:known] > MOST_GAP * before["longest_gap"])
    after["longest_gap"][:known][stretched] = MOST_GAP * before["longest_gap"][stretched]
    added = _bits(after["seen"][:known] & ~before["seen"])
    taught = (added > np.maximum(_bits(before["seen"]), LEAST_NEW_VALUES)) & (before["trust"] > 0)
    for field in ("seen", "novel", "successor", "hits", "flips", "record", "longest", "hamming", "surprisal", "misses"):
        after[field][:known][taught] = before[field][taught]
    mature = before["trust"] > 0
    after["trust"][:known][mature] = np.minimum(after["trust"][:known], MOST_TRUST * before["trust"])[mature]
    for slot in np.flatnonzero(moved):
        refused.append(f"{id_text(old.ids[slot])} came at another period: its timing was kept as it was")
    for slot in np.flatnonzero(stretched):
        refused.append(f"{id_text(old.ids[slot])} was silent for longer than twice its longest gap: only that much was learnt")
    for slot in np.flatnonzero(taught):
        refused.append(f"{id_text(old.ids[slot])} had {added[slot]} new values in its payload: its payload norms were kept")
    slots, pairs = dict(new.state.slots), new.state.pairs
    if len(slots) > known and not learn_ids:
        refused.append(f"{len(slots) - known} IDs are new and were not learnt: {_listed(list(slots)[known:])}")
        slots, after, pairs = dict(old.state.slots), after[:known], old.state.pairs
    state = new.state._replace(slots=slots, norms=after, pairs=pairs)
    sources = old.about.sources + new.about.sources
    return Refreshed(Profile(new.about.model_copy(update={"sources": sources}), state), refused)


def _united(first: RelativeState, second: RelativeState) -> RelativeState:
    born = {}
    for state in (first, second):
        for identifier, slot in state.slots.items():
            born[identifier] = min(float(state.norms["born"][slot]), born.get(identifier, np.inf))
    ids = sorted(born, key=born.__getitem__)
    norms = np.zeros(len(ids), NORMS)
    for place, identifier in enumerate(ids):
        both = [state.norms[state.slots[identifier]] for state in (first, second) if identifier in state.slots]
        norms[place] = both[0] if len(both) == 1 else _norm(*sorted(both, key=lambda norm: float(norm["trust"])))
    bus = first.bus.copy()
    for field in ("frames", "learnt", "window_span", "windows"):
        bus[field] = first.bus[field] + second.bus[field]
    weights = np.array([first.bus["frames"][0], second.bus["frames"][0]])
    means = np.array([first.bus["transition"][0], second.bus["transition"][0]])
    bus["transition"] = (weights * means).sum() / max(weights.sum(), 1.0)
    norms["born"], norms["last"], norms["scheduled"] = np.array([born[i] for i in ids]), bus["learnt"], bus["learnt"]
    slots = {identifier: slot for slot, identifier in enumerate(ids)}
    pairs = _moved_pairs(first, slots) + _moved_pairs(second, slots)
    return first._replace(slots=slots, norms=norms, pairs=pairs, bus=bus)


def _moved_pairs(state: RelativeState, slots: dict[int, int]) -> NDArray[np.float32]:
    """The table of transitions of a state, as it is if its IDs have other `slots`: cells are hashed by slot."""
    ids = list(state.slots)
    old, new = np.arange(len(ids)), np.array([slots[identifier] for identifier in ids])
    pairs = np.zeros_like(state.pairs)
    row, cell = pair_row.py_func, pair_cell.py_func
    pairs[FOLLOWED][row(new)] = state.pairs[FOLLOWED][row(old)]
    pairs[FOLLOWS][cell(new[:, None], new[None, :])] = state.pairs[FOLLOWS][cell(old[:, None], old[None, :])]
    return pairs


def _norm(lesser: Any, greater: Any) -> Any:
    """The norms of one ID in two profiles; `greater` was set by more frames."""
    norm = greater.copy()
    weight = float(greater["trust"] + 1.0) / float(greater["trust"] + lesser["trust"] + 2.0)
    for field in MEANS:
        norm[field] = weight * greater[field] + (1.0 - weight) * lesser[field]
    for field in SUMS:
        norm[field] = greater[field] + lesser[field]
    for field in LARGEST:
        norm[field] = max(greater[field], lesser[field])
    norm["seen"] = greater["seen"] | lesser["seen"]
    norm["successor"] = np.where(greater["successor"] > 0, greater["successor"], lesser["successor"])
    return norm


def _bits(words: NDArray[Any]) -> NDArray[np.int64]:
    """Number of bits that are set in each row."""
    return np.bitwise_count(words).sum(1).astype(np.int64)


def _listed(ids: list[int], most: int = 8) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(map(id_text, ids[:most])) + more

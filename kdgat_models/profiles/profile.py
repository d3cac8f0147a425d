"""A vehicle profile: what schema `relative` has learnt of a vehicle from minutes of its normal traffic, as one small file.

A capture that starts from a profile starts as one that has been running for as long: periods, jitter, bit flips, values,
transitions and IDs are known, and an ID that joins in the first second is new.
"""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kdgat_models.archive import Kind, as_json, read_archive, write_archive
from kdgat_models.errors import ArchiveError, CheckpointError, ProfileError
from kdgat_models.files import wrong_fields
from kdgat_models.graphs.relative import RELATIVE, M
from kdgat_models.graphs.relative_state import BUS, NORMS, PAIR_SLOTS, RelativeState
from kdgat_models.npz import arrays_of, npz_bytes

PROFILE = Kind("vehicle profile", 1, "Learn one from normal traffic: kdgat learn normal.log -o car.profile")
ABOUT, NORM_FIELDS, PAIRS = "profile.json", "norms.npz", "pairs.npz"
MOST_IDS = 65_536
OLD_DAYS = 180  # software of units is updated, parts are replaced: what was normal may no longer be


class AboutProfile(BaseModel):
    """What a profile says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature_schema: str
    feature_version: Annotated[int, Field(ge=1)]
    learnt: AwareDatetime  # when, by the clock of the machine that learnt it
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of traffic
    frames: Annotated[int, Field(ge=0)]
    sources: tuple[str, ...]  # names of the captures that it was learnt from
    notes: tuple[str, ...] = ()  # what was odd about them


class Profile(NamedTuple):
    """What is known of a vehicle; its state is never changed, `start` gives copies."""

    about: AboutProfile
    state: RelativeState  # as the next capture starts

    @property
    def ids(self) -> list[int]:
        """Arbitration IDs that it knows, in the order in which they were first seen."""
        return list(self.state.slots)

    def start(self) -> RelativeState:
        """A state for a capture to start from."""
        state = self.state
        return state._replace(slots=dict(state.slots), norms=state.norms.copy(), pairs=state.pairs.copy(), bus=state.bus.copy())

    @property
    def days_old(self) -> float:
        """Days since it was learnt."""
        return (datetime.now(UTC) - self.about.learnt).total_seconds() / 86_400

    @classmethod
    def of(cls, state: RelativeState, sources: tuple[str, ...], notes: tuple[str, ...] = ()) -> "Profile":
        """What a capture, or several one after the other, have taught.

        Args:
            state: After the last window.
            sources: Names of the captures.
            notes: On what was odd about them.

        Raises:
            ProfileError: the captures have no clock.
        """
        if not state.timed:
            raise ProfileError(
                f"{', '.join(sources)}: the timestamps tell no time, and periods are most of a profile. "
                "Record the traffic with timestamps"
            )
        following = state.next_capture()
        frames = int(sum(int(norm.count) for norm in following.norms))
        about = AboutProfile(
            feature_schema=RELATIVE.name,
            feature_version=RELATIVE.version,
            learnt=datetime.now(UTC),
            seconds=float(following.bus["learnt"][0]),
            frames=frames,
            sources=sources,
            notes=notes,
        )
        return cls(about, following)


def save_profile(target: Path, profile: Profile) -> Path:
    """Write a profile as one file, atomically."""
    state = profile.state
    ids = np.array(list(state.slots), np.uint32)
    fields = {name: state.norms[name] for name in NORMS.names or ()}
    bus = {f"bus_{name}": state.bus[name] for name in BUS.names or ()}
    where = np.flatnonzero(state.pairs)
    members = {
        ABOUT: as_json(profile.about.model_dump(mode="json")),
        NORM_FIELDS: npz_bytes(ids=ids, **fields, **bus),
        PAIRS: npz_bytes(where=where.astype(np.int64), count=state.pairs.ravel()[where]),
    }
    return write_archive(target, PROFILE, members)


def load_profile(source: Path) -> Profile:
    """Read what `save_profile` wrote.

    Raises:
        ArchiveError: it is missing, torn, altered or newer, or holds what no profile can.
        ProfileError: it was learnt with another version of the features; says to learn it again.
    """
    members = read_archive(source, PROFILE)
    try:
        about = AboutProfile.model_validate_json(members[ABOUT])
        state = _state(arrays_of(source, BytesIO(members[NORM_FIELDS])), arrays_of(source, BytesIO(members[PAIRS])))
    except ValidationError as error:
        raise ArchiveError(f"{source} was altered: {ABOUT}: {wrong_fields(error)}") from error
    except (CheckpointError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ArchiveError(f"{source} was altered: {error}") from error
    if (about.feature_schema, about.feature_version) != (RELATIVE.name, RELATIVE.version):
        raise ProfileError(
            f"{source} was learnt with features {about.feature_schema} version {about.feature_version}; this version has "
            f"{RELATIVE.name} version {RELATIVE.version}. Learn it again: kdgat learn"
        )
    return Profile(about, state)


def _state(norm_fields: dict[str, NDArray[Any]], pairs: dict[str, NDArray[Any]]) -> RelativeState:
    ids = norm_fields["ids"]
    if not 0 < len(ids) <= MOST_IDS or len(np.unique(ids)) != len(ids) or ids.dtype != np.uint32:
        raise ValueError(f"{len(ids)} arbitration IDs, or some of them twice")
    norms, bus = np.zeros(len(ids), NORMS), np.zeros(1, BUS)
    for name in NORMS.names or ():
        norms[name] = _sensible(name, norm_fields[name], norms[name])
    for name in BUS.names or ():
        bus[name] = _sensible(name, norm_fields[f"bus_{name}"], bus[name])
    if (np.diff(norms["born"]) < 0).any() or (norms["successor"] > 16).any():
        raise ValueError("norms that no traffic can have")
    table = np.zeros(2 * PAIR_SLOTS, np.float32)
    where = pairs["where"]
    if len(where) and (where.min() < 0 or where.max() >= len(table)):
        raise ValueError("a transition outside of the table")
    table[where] = _sensible("count", pairs["count"], table[where])
    slots = {int(identifier): slot for slot, identifier in enumerate(ids)}
    return RelativeState(slots, norms, table.reshape(2, PAIR_SLOTS), bus, np.zeros((0, M), np.float32), 0, True)


def _sensible(name: str, found: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    """`found`, if it has the shape and type that it must have, and numbers that a norm can have."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ValueError(f"{name} is {found.dtype} {found.shape}, expected {expected.dtype} {expected.shape}")
    low = {"period": -64.0, "doubted": -1.0, "transition": -64.0}.get(name, 0.0)
    if found.dtype.kind == "f" and not (np.isfinite(found).all() and found.min(initial=0.0) >= low):
        raise ValueError(f"{name} has values that no norm has")
    return found

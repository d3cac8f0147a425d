"""Does a profile fit the traffic that it is used for: of this vehicle, of this bus, and not far too old?"""

import numpy as np

from kdgat_models.graphs.stream import StreamGraphs
from kdgat_models.profiles.profile import OLD_DAYS, Profile

LOOK_S = 5.0  # s of a capture that are looked at
LEAST_HEARD = 0.5  # of the IDs of the profile that should have come by then: fewer are of another vehicle
MOST_UNKNOWN = 0.3  # of the IDs that came: more that the profile does not know are of another vehicle
SURE_PERIODS = 4.0  # an ID that did not come for so many of its periods should have come
MATURE = 20  # frames that set the period of an ID


class ProfileFit:
    """Compares the first seconds of a capture with a profile; an injected flood has many frames, but not many IDs."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._seen: set[int] = set()
        self._begin: float | None = None
        self._done = False

    def age(self) -> list[str]:
        """What to say of its age and of what was odd when it was learnt."""
        days, about = self.profile.days_old, self.profile.about
        old = [f"the profile was learnt {days:.0f} days ago: learn it again if units or their software changed since"]
        return [*(old if days > OLD_DAYS else []), *(f"the profile says of itself: {note}" for note in about.notes)]

    def push(self, graphs: StreamGraphs) -> list[str]:
        """Look at the next windows; returns what to say, once."""
        offsets, topology = graphs.topology.node_offsets, graphs.topology
        for window, end in enumerate(graphs.end_time.tolist()):
            if self._done:
                return []
            self._begin = float(graphs.start_time[window]) if self._begin is None else self._begin
            self._seen.update(topology.arbitration_id[offsets[window] : offsets[window + 1]].tolist())
            if end - self._begin >= LOOK_S:
                self._done = True
                return self._misfit(end - self._begin)
        return []

    def _misfit(self, seconds: float) -> list[str]:
        norms = self.profile.state.norms
        regular = (norms["trust"] >= MATURE) & (SURE_PERIODS * np.exp2(norms["period"]) < seconds)
        expected = {identifier for identifier, slot in self.profile.state.slots.items() if regular[slot]}
        heard, unknown = len(expected & self._seen), len(self._seen - set(self.profile.ids))
        if heard < LEAST_HEARD * len(expected) or unknown > MOST_UNKNOWN * len(self._seen):
            return [
                f"the profile looks like one of another vehicle or bus: of the {len(expected)} IDs that it expects {heard} "
                f"came, and of {len(self._seen)} IDs that came it does not know {unknown}; verdicts mean little with it"
            ]
        return []

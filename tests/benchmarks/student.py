"""The student that ships, on recordings that it was not trained on: as it is, and with a profile of the vehicle.

python tests/benchmarks/student.py DATA [MODEL]     DATA holds hcrl_sa/<split>/*.csv and other/<split>/*.csv
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from kdgat_models import Detector
from kdgat_models.can.frames import Frames, joined
from kdgat_models.can.recording import open_recording
from kdgat_models.detection.session import Options
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.profiles.profile import Profile

VEHICLES = {"kia": "attack-free-kia", "sonata": "attack-free-sonata"}  # capture that the profile is learnt from
SECONDS = 60.0


def main() -> None:
    data = Path(sys.argv[1])
    detector = Detector.load(*sys.argv[2:3])
    profiles = {vehicle: learnt(frames_of(next(data.glob(f"hcrl_sa/*/{name}.csv")))) for vehicle, name in VEHICLES.items()}
    print(f"{'capture':<28}{'regime':<10}{'F1':>7}{'AUC':>8}{'flagged':>9}{'alarms':>8}{'per hour':>10}")
    for path in sorted([*data.glob("hcrl_sa/*/*.csv"), *data.glob("other/*/*.csv")]):
        frames = frames_of(path)
        report(path.stem, "nothing", detector, frames, None)
        vehicle = path.stem.rsplit("-", 1)[1]
        if vehicle in profiles and path.stem != VEHICLES[vehicle]:
            report(path.stem, "profile", detector, frames, profiles[vehicle])


def frames_of(path: Path) -> Frames:
    return joined([part.frames for part in open_recording(path, on_bad_rows="quarantine").parts()])


def learnt(frames: Frames) -> Profile:
    """A profile of the first seconds of a capture."""
    end = int(np.searchsorted(frames.timestamp, frames.timestamp[0] + SECONDS))
    stream = GraphStream("normal", RELATIVE, 100, 100)
    stream.push(frames.rows(slice(0, end)))
    return Profile.of(stream.state, ("normal",))


def report(name: str, regime: str, detector: Detector, frames: Frames, profile: Profile | None) -> None:
    session = detector.stream(name, Options(profile))
    updates = [session.push(frames), session.finish()]
    verdicts, alarms = updates[0].verdicts, [a for update in updates for a in update.alarms if not a.open]
    labels, hours = verdicts.label, float(frames.timestamp[-1] - frames.timestamp[0]) / 3600
    both = 0 < labels.sum() < len(labels)
    f1 = f"{f1_score(labels, verdicts.attack):.3f}" if both else "-"
    auc = f"{roc_auc_score(labels, verdicts.score):.4f}" if both else "-"
    rate = "-" if labels.any() else f"{len(alarms) / hours:.0f}"
    print(f"{name:<28}{regime:<10}{f1:>7}{auc:>8}{verdicts.attack.mean():>9.2%}{len(alarms):>8}{rate:>10}", flush=True)


if __name__ == "__main__":
    main()

"""kdgat-device MODEL.onnx < drive.log: one line for each window that is an attack, of what `candump -L` writes."""

import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kdgat_device.detector import Detector, ModelError


class Frame(NamedTuple):
    """One frame of classical CAN."""

    time: float  # s
    arbitration_id: int
    dlc: int
    payload: bytes


def frames(lines: Iterable[str]) -> Iterator[Frame | None]:
    """The frames of a candump log, `(1700000000.000000) can0 1A0#0011`; None for a line that is none."""
    for line in lines:
        try:
            stamp, _, frame = line.split()[:3]
            identifier, _, data = frame.partition("#")
            payload = bytes.fromhex("" if data.startswith("R") else data)
            if len(payload) > 8:
                raise ValueError(line)
            yield Frame(float(stamp.strip("()")), int(identifier, 16), len(payload), payload)
        except ValueError:
            yield None


def main() -> int:
    """Exit code 0: no attack, 1: attacks, 2: the model cannot be used."""
    if len(sys.argv) != 2:
        print("usage: kdgat-device MODEL.onnx < drive.log    what candump -L writes, or a pipe from it", file=sys.stderr)
        return 2
    try:
        detector = Detector(sys.argv[1])
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    skipped = attacks = 0
    for frame in frames(sys.stdin):
        verdict = detector.push(*frame) if frame else None
        skipped += frame is None
        if verdict and verdict.attack:
            attacks += 1
            print(f"{verdict.end:.6f} attack, score {verdict.score:.2f}, suspect {verdict.suspect:03X}", flush=True)
    if skipped:
        print(f"{skipped} lines are no frames of classical CAN and were left out", file=sys.stderr)
    return 1 if attacks else 0


if __name__ == "__main__":
    sys.exit(main())

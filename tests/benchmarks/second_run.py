"""How long `kdgat run` takes when all is cached, beside what Prefect takes for a flow that does nothing.

python tests/benchmarks/second_run.py [ROOT]      ROOT is made by a first run if it is not there; 3 rounds, medians
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from config.paths import tool_environment

ROUNDS = 3
EMPTY_FLOW = "from prefect import flow\nflow(lambda: None, name='empty')()"


def seconds(words: Sequence[str], root: Path) -> float:
    """Of a command that has to succeed."""
    started = time.monotonic()
    subprocess.run(words, env={**os.environ, **tool_environment(root)}, capture_output=True, check=True)
    return time.monotonic() - started


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).resolve()
    run = [sys.executable, "-m", "flows.cli", "run", "--root", str(root), "--json"]
    print(f"first run: {seconds(run, root):.1f} s")
    both = [(seconds(run, root), seconds([sys.executable, "-c", EMPTY_FLOW], root)) for _ in range(ROUNDS)]
    again, empty = (median(times) for times in zip(*both, strict=True))
    print(f"again: {again:.1f} s, an empty flow: {empty:.1f} s, ratio {again / empty:.2f}")


if __name__ == "__main__":
    main()

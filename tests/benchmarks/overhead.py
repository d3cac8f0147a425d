"""Overhead of a stage: from its submission to its start on a worker, from there to its first training step, from its end to the
submission of the next.

    python tests/benchmarks/overhead.py [RUNNER or ROOT ...]

A runner is one of `kdgat run --runner`, local if none is given; a root is a folder that runs were written to before.
Each runner runs the small pipeline of the tests once, in a new folder; the figures are those of its run store. The profiles
that runners name are taken from KDGAT_ROOT/slurm/.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conftest import TINY

from kdgat_models.can.simulate import write_demo
from kdgat_models.runs.store import RunStore

QUERY = """
select stage, queue_seconds, setup_seconds, seconds,
    epoch(lead(started_at) over (order by started_at) - started_at) - seconds - queue_seconds as to_next
from runs where status = 'completed' order by started_at
"""


def measure(runner: str, folder: Path) -> list[dict]:
    """Run the pipeline and return one row per stage."""
    if Path(runner, "store").is_dir():
        return RunStore(Path(runner) / "store").query(QUERY)
    root, data = folder / runner.replace(":", "-"), folder / "demo"
    if not data.exists():
        write_demo(data, seconds_scale=0.3)
    profiles = Path(os.environ.get("KDGAT_ROOT", "experiments")) / "slurm"
    if profiles.is_dir():
        shutil.copytree(profiles, root / "slurm")
    options = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in TINY.items()]
    command = [sys.executable, "-m", "flows.cli", "run", "--root", str(root), "--data-dir", str(data), "--runner", runner]
    subprocess.run([*command, "--variants", "large", "--json", *options], check=True, stdout=subprocess.DEVNULL)
    return RunStore(root / "store").query(QUERY)


def main() -> None:
    print("| runner | stage | submission to start, s | start to first step, s | whole stage, s | end to next, s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for runner in sys.argv[1:] or ["local"]:
            for row in measure(runner, Path(folder)):
                cells = [row[name] for name in ("queue_seconds", "setup_seconds", "seconds", "to_next")]
                print(
                    f"| {Path(runner).name} | {row['stage']} | "
                    + " | ".join("-" if c is None else f"{c:.1f}" for c in cells)
                    + " |"
                )


if __name__ == "__main__":
    main()

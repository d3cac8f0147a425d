"""`make mutants`: changes the code that decides results in one place at a time, and looks whether a test sees it.

    make mutants [SEED=1] [SAMPLE=200] [ONLY='kdgat_models/graphs/*'] [TESTS='tests/graphs/*']

The operators are mutmut's (sources.py). Its runner is not used, nor that of cosmic-ray: mutmut cannot change decorated
functions (numba's kernels, properties), has no samples, and imports the program once for all mutants, so that constants
and fields are not changed; cosmic-ray starts a new pytest for each mutant, of which ten seconds go to importing torch.
Here each mutant gets a fork that has torch in memory (forked.py) and meets only the tests that reach it (reach.py), the
cheapest first. What hangs is killed, and counts as found. Mutants that nothing can tell from the original are listed in
equivalent.toml with the reason. Exit code 1 below 85 %.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from mutants.campaign import REPORTS, ROOT, TARGETS, Campaign, Result, fits, matching
from mutants.equivalents import EQUIVALENTS, Equivalent, read
from mutants.sources import changes_of, draw

REQUIRED = 0.85


def main() -> int:
    options = _options()
    started = time.monotonic()
    files = [file for file in matching(TARGETS, REPORTS) if fits(file, options.only)]
    changes = [change for file in files for change in changes_of(ROOT, file)]
    mutants = draw(changes, options.sample, options.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        results = list(Campaign(Path(folder), options.tests, options.workers).results(mutants))
    score = report(results, read(EQUIVALENTS))
    minutes = (time.monotonic() - started) / 60
    print(f"seed {options.seed}, {len(mutants)} of {len(changes)} mutants of {len(files)} files, {minutes:.0f} min")
    return int(score < REQUIRED)


def report(results: list[Result], equivalents: list[Equivalent]) -> float:
    """Prints what survived and the share that was found of those that can be."""
    reasons = {equivalent.key: equivalent.reason for equivalent in equivalents}
    survivors = [result for result in results if result.survived]
    named = [result for result in survivors if result.mutant.key in reasons]
    for result in sorted(survivors, key=lambda one: one.mutant.place):
        why = reasons.get(result.mutant.key)
        said = f"equivalent: {why}" if why else f"{result.tests} tests reach it"
        print(f"\n{result.mutant.place}: {said}\n{result.mutant.diff}")
    count = len(results) - len(named)
    found = len(results) - len(survivors)
    score = found / count if count else 1.0
    print(f"\n{found} of {count} mutants found ({score:.1%}), {len(named)} more are equivalent; {REQUIRED:.0%} are required")
    return score


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="which mutants are drawn")
    parser.add_argument("--sample", type=int, default=200, help="how many")
    parser.add_argument("--only", default="*", help="patterns of files that are changed")
    parser.add_argument("--tests", default="*", help="patterns of files of tests that are run; all by default")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

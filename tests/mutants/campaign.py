"""One campaign: the suite is observed once, then each mutant meets the tests that reach it."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from mutants import forked, observe
from mutants.forked import BROKEN, Ended, Fork, Limits, in_parallel
from mutants.observe import Case, Observer
from mutants.reach import Reach, cache_without
from mutants.sources import Mutant

ROOT = Path(__file__).parents[2]
TARGETS = (
    "kdgat_models/**/*.py",
    "config/resolver.py",
    "config/legacy.py",
    "config/catalog.py",
    "config/plugins.py",
    "config/choices.py",
    "config/overrides.py",
    "config/variants.py",
    "tasks/artifact.py",
    "tasks/execution/attempts.py",
    "tasks/caching.py",
    "tasks/plans/**/*.py",
)
REPORTS = ("*report*.py", "*protocols/tables.py", "*plot*.py", "*/__init__.py")  # words and pictures
SUITE = ("tests/**/test_*.py",)
# They run whole pipelines, servers or other processes, whose code is not the mutant's.
PROCESSES = (
    "tests/flows/*",
    "tests/slurm/*",
    "tests/deployments/*",
    "tests/mutants/*",
    "tests/benchmarks/*",
    "tests/test_architecture.py",
    "tests/tasks/test_child*.py",
    "tests/tasks/test_compute.py",
    "tests/tasks/test_serv*.py",
)
MOST_CPU_S = 60.0  # of the tests that a mutant meets: one that all of these miss is not found by the next either
COMPILING_S = 120.0


class Result(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    tests: int
    ended: Ended | None  # None: no test reaches it

    @property
    def survived(self) -> bool:
        return self.ended is None or self.ended.code in {0, 5}


def fits(file: str, patterns: str) -> bool:
    """Whether a file matches one of the patterns, which stand apart by blanks."""
    return any(fnmatch(file, pattern) for pattern in patterns.split())


def matching(patterns: tuple[str, ...], but: tuple[str, ...]) -> list[str]:
    """Files of the checkout, relative to it."""
    found = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(file for file in found if not any(fnmatch(file, pattern) for pattern in but))


def _tail(ended: Ended) -> str:
    return ended.log.read_text()[-3000:]


class Campaign:
    """One observation of the suite, then a fork for each mutant."""

    def __init__(self, folder: Path, tests: str, workers: int) -> None:
        self.folder, self.workers = folder, workers
        self.kernels = folder / "kernels"
        self.reach = Reach(ROOT, matching(TARGETS, REPORTS))
        forked.warm_up()
        self.tests = self._observe([file for file in matching(SUITE, PROCESSES) if fits(file, tests)])

    def _observe(self, suite: list[str]) -> list[Case]:
        shards = [suite[number :: self.workers] for number in range(self.workers)]
        for number, ended in in_parallel((self._observing(n, shard) for n, shard in enumerate(shards)), self.workers):
            if ended.code not in {0, 1}:
                raise SystemExit(
                    f"shard {number} of the unchanged tests ended with {ended.code}:\n{ended.log.read_text()[-3000:]}"
                )
        tests, failed = observe.read([self.folder / f"{number}.json" for number in range(self.workers)])
        print(f"{len(tests)} tests, {sum(test.cpu_s for test in tests):.0f} CPU s; they fail unchanged: {failed or 'none'}")
        return tests

    def _observing(self, number: int, shard: list[str]) -> Callable[[], tuple[int, Fork]]:
        def work() -> int:
            observer = Observer(ROOT, list(self.reach.imports))
            code = forked.run_pytest([], shard, self.folder / f"shard{number}", [observer], self.kernels, stop=False)
            observer.write(self.folder / f"{number}.json")
            return code

        return lambda: (number, Fork(work, self.folder / f"shard{number}.log", Limits(3600)))

    def results(self, drawn: list[Mutant]) -> Iterator[Result]:
        chosen = [(mutant, self._affordable(mutant)) for mutant in drawn]
        yield from (Result(mutant, 0, None) for mutant, tests in chosen if not tests)
        starts = (self._mutated(n, mutant, tests) for n, (mutant, tests) in enumerate(chosen) if tests)
        for done, ((mutant, tests), ended) in enumerate(in_parallel(starts, self.workers), 1):
            if ended.code == BROKEN:
                raise SystemExit(f"{mutant.place} could not be tried:\n{_tail(ended)}")
            result = Result(mutant, len(tests), ended)
            word = "SURVIVED" if result.survived else "found"
            print(f"{done}/{len(chosen)} {word:8} {ended.cpu_s:4.0f} CPU s {mutant.place}", flush=True)
            yield result

    def _affordable(self, mutant: Mutant) -> list[Case]:
        tests, fixtures, cpu_s = [], set(), 0.0
        for test in self.reach.tests(mutant, self.tests):
            cpu_s += test.cpu_s + sum(cost for name, cost in test.fixtures.items() if name not in fixtures)
            fixtures.update(test.fixtures)
            if tests and cpu_s > MOST_CPU_S:
                break
            tests.append(test)
        return tests

    def _mutated(self, number: int, mutant: Mutant, tests: list[Case]) -> Callable[[], tuple[tuple[Mutant, list[Case]], Fork]]:
        names = [test.name for test in tests]
        folder = self.folder / f"mutant{number}"
        folder.mkdir()

        def work() -> int:
            forked.replace_source(ROOT / mutant.file, mutant.text)
            files = list(dict.fromkeys(name.split("::")[0] for name in names))
            kernels = cache_without(changed, self.kernels, folder / "kernels")
            return forked.run_pytest(names, files, folder / "tests", [], kernels, stop=True)

        changed = self.reach.kernels(mutant)
        cpu_s = 30 + 4 * sum(test.whole_cpu_s for test in tests) + COMPILING_S * bool(changed)
        return lambda: ((mutant, tests), Fork(work, folder / "log", Limits(cpu_s)))

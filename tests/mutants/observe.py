"""What each test runs, and what it costs: observed once, so that a mutant meets only the tests that reach it."""

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import coverage
import pytest

Lines = dict[str, set[int]]  # of a file, relative to the checkout


class Observed(NamedTuple):
    """A test that passes, or a fixture that several share."""

    name: str
    cpu_s: float  # its own, without that of the shared fixtures that it asks for
    fixtures: list[str]
    lines: dict[str, list[int]]


class Case(NamedTuple):
    """A test, with the shared fixtures that must be made for it."""

    name: str
    cpu_s: float
    fixtures: dict[str, float]  # name -> CPU seconds
    lines: Lines

    @property
    def whole_cpu_s(self) -> float:
        return self.cpu_s + sum(self.fixtures.values())


class Observer:
    """A pytest plugin. `write` leaves a list of what was observed; tests that fail are left out of it."""

    def __init__(self, root: Path, files: list[str]) -> None:
        self.root, self.files = root, files
        self.coverage = coverage.Coverage(
            data_file=None, include=[str(root / file) for file in files], config_file=False, messages=False
        )
        self.cpu_s: dict[str, float] = {}
        self.fixtures: dict[str, list[str]] = {}
        self.failed: set[str] = set()
        self._stack = [""]
        self._since = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        known = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]  # nothing public says it
        definitions = [known[name][-1] for name in item.fixturenames if name in known]  # type: ignore[attr-defined]
        self.fixtures[item.nodeid] = [_shared_name(one) for one in definitions if one.scope != "function"]
        with self._inside(item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        with self._inside(_shared_name(fixturedef)):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)

    @contextmanager
    def _inside(self, name: str) -> Generator[None]:
        self._enter([*self._stack, name])
        try:
            yield
        finally:
            self._enter(self._stack[:-1])

    def _enter(self, stack: list[str]) -> None:
        now = _cpu_s()
        self.cpu_s[self._stack[-1]] = self.cpu_s.get(self._stack[-1], 0.0) + now - self._since
        self._stack, self._since = stack, now
        self.coverage.switch_context(stack[-1])

    def write(self, path: Path) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        lines: dict[str, dict[str, list[int]]] = {}
        for file in self.files:
            for line, contexts in data.contexts_by_lineno(str(self.root / file)).items():
                for context in contexts:
                    lines.setdefault(context, {}).setdefault(file, []).append(line)
        names = [name for name in self.cpu_s if name and name not in self.failed]
        observed = [Observed(name, self.cpu_s[name], self.fixtures.get(name, []), lines.get(name, {})) for name in names]
        path.write_text(json.dumps({"observed": observed, "failed": sorted(self.failed)}))


def _shared_name(definition: pytest.FixtureDef) -> str:
    return f"fixture {definition.baseid}::{definition.argname}"


def _cpu_s() -> float:
    """Of this process and of those that it waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def read(paths: list[Path]) -> tuple[list[Case], list[str]]:
    """Tests that passed, each with the lines that it and its fixtures run; and the names of those that did not."""
    shards = [json.loads(path.read_text()) for path in paths]
    observed = [Observed(*one) for shard in shards for one in shard["observed"]]
    fixtures = {one.name: one for one in observed if one.name.startswith("fixture ")}
    tests = [_with_fixtures(one, fixtures) for one in observed if one.name not in fixtures]
    return tests, [name for shard in shards for name in shard["failed"]]


def _with_fixtures(one: Observed, fixtures: dict[str, Observed]) -> Case:
    used = [fixtures[name] for name in one.fixtures if name in fixtures]
    lines: Lines = {}
    for part in [one, *used]:
        for file, numbers in part.lines.items():
            lines.setdefault(file, set()).update(numbers)
    return Case(one.name, one.cpu_s, {fixture.name: fixture.cpu_s for fixture in used}, lines)

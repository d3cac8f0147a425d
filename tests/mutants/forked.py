"""Runs tests in a fork of this process, which has the heavy libraries in memory but none of our own modules.

A fork takes a second until its tests run; a new process takes ten, most of them for torch and torch-geometric.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

import numba
import psutil
import pytest

WARM = (
    "torch",
    "torch.optim",
    "torch_geometric.nn",
    "sklearn.metrics",
    "sklearn.ensemble",
    "scipy.stats",
    "pyarrow.parquet",
    "polars",
    "duckdb",
    "pydantic",
    "prefect",
)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
BROKEN = 70  # exit code: it is this tool that failed, not a test
OWN = ("config", "kdgat_models", "tasks", "flows")
DATA_LIMIT = 8 << 30  # bytes: a mutant that fills the memory dies alone


class Limits(NamedTuple):
    """What a fork may take before it counts as hanging. Neither depends on how busy the machine is."""

    cpu_s: float
    idle_s: float = 60.0  # in which neither it nor a child of it has anything to do


class Ended(NamedTuple):
    """How a fork ended."""

    code: int  # exit code, or minus the signal
    cpu_s: float
    log: Path


def warm_up() -> None:
    for name in WARM:
        importlib.import_module(name)
    ours = [name for name in sys.modules if name.split(".")[0] in OWN]
    if ours:
        raise RuntimeError(f"{', '.join(ours)} must not be in memory: forks would not see their mutants")


class Fork:
    """A function that runs in a process of its own; its exit code is what the function returns."""

    def __init__(self, work: Callable[[], int], log: Path, limits: Limits) -> None:
        self.log = log
        self._idle_s = limits.idle_s
        self._busy_at, self._looked_at = time.monotonic(), time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _run(work, log, limits)

    def poll(self) -> Ended | None:
        """How it ended, or None while it runs; it is killed when it waits for what never comes."""
        if time.monotonic() > self._looked_at + 1:
            self._looked_at = time.monotonic()
            self._busy_at = self._looked_at if self._busy() else self._busy_at
            if self._looked_at > self._busy_at + self._idle_s:
                os.killpg(self.pid, signal.SIGKILL)
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # what its tests left behind
        return Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, self.log)

    def _busy(self) -> bool:
        """Whether it or a child of it runs or waits for a core or a disk, not for a lock, a pipe or a clock."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            tree = [process, *process.children(recursive=True)]
            return any(one.status() in {psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP} for one in tree)
        return False


def _run(work: Callable[[], int], log: Path, limits: Limits) -> None:
    code = BROKEN
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing goes on when the campaign is killed
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        seconds = int(limits.cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT))
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def in_parallel(forks: Iterator[Callable[[], tuple[object, Fork]]], workers: int) -> Iterator[tuple[object, Ended]]:
    """Starts what `forks` gives, so many at a time; yields each with what it was for as it ends."""
    running: list[tuple[object, Fork]] = []
    waiting = True
    while running or waiting:
        while waiting and len(running) < workers:
            start = next(forks, None)
            waiting = start is not None
            if start:
                running.append(start())
        for one in list(running):
            ended = one[1].poll()
            if ended:
                running.remove(one)
                yield one[0], ended
        time.sleep(0.02)


def run_pytest(tests: list[str], files: list[str], folder: Path, plugins: list[object], kernels: Path, *, stop: bool) -> int:
    """pytest over the files in this process, which is a fork. Exit code of pytest."""
    numba.core.config.CACHE_DIR = str(kernels)
    arguments = ["-q", *["-x"] * stop, "--tb=short", f"--basetemp={folder}", "-p", "no:cacheprovider", "-p", "no:xdist"]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*arguments, *quiet, *files], plugins=[*plugins, Selection(tests), Reproducible()]))


class Selection:
    """Runs these tests alone, in this order; all where there are none."""

    def __init__(self, tests: list[str]) -> None:
        self.order = {name: index for index, name in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order:
            items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid])


class Reproducible:
    """The same examples each time, and no search for the smallest that fails: that it fails is enough."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", database=None, derandomize=True, phases=phases)
        settings.load_profile("mutants")


def replace_source(path: Path, text: str) -> None:
    """From now on Python reads this text where it imports that file; the file itself stays as it is."""
    read = SourceFileLoader.get_data
    compiled = f"{path.parent}/__pycache__/{path.stem}."

    def get_data(loader: SourceFileLoader, wanted: str) -> bytes:
        if wanted == str(path):
            return text.encode()
        if str(wanted).startswith(compiled):
            raise FileNotFoundError(wanted)
        return read(loader, wanted)

    sys.dont_write_bytecode = True
    SourceFileLoader.get_data = get_data  # type: ignore[method-assign]

"""`kdgat` as a user runs it, in processes of their own, and what is left of them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
from conftest import TINY
from processes import words_of

HANG_S = 400.0  # guards against a hang; nothing is measured against it


def command(root: Path, data: Path, *more: str, verb: str = "run") -> list[str]:
    """Words of a command with tiny networks; `more` comes last, and so wins."""
    settings = [f"--set={name}={list(value) if isinstance(value, tuple) else value}" for name, value in TINY.items()]
    return [sys.executable, "-m", "flows.cli", verb, "--root", str(root), "--data-dir", str(data), *settings, *more]


def kdgat(root: Path, data: Path, *more: str, verb: str = "run") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(command(root, data, *more, verb=verb), capture_output=True, text=True, timeout=HANG_S, check=False)


class Started(NamedTuple):
    """A command that runs."""

    process: subprocess.Popen[str]
    root: Path
    since: float  # Unix time

    def await_moment(self, reached: Callable[["Started"], Any], what: str) -> None:
        """Return when it is reached; the command must not have ended before."""
        deadline = time.monotonic() + HANG_S
        while not reached(self):
            assert self.process.poll() is None, f"it ended before {what}: {self.errors()[-3000:]}"
            assert time.monotonic() < deadline, f"{what} never came"
            time.sleep(0.02)

    def end(self, number: int, whole_group: bool) -> tuple[int, str, float]:
        """Send a signal; returns the exit code, standard error, and the seconds until it had ended."""
        began = time.monotonic()
        (os.killpg if whole_group else os.kill)(self.process.pid, number)
        code = self.process.wait(HANG_S)
        return code, self.errors(), time.monotonic() - began

    def errors(self) -> str:
        return (self.root.parent / f"{self.root.name}.err").read_text()


def start(words: list[str], root: Path) -> Started:
    """Start a command in a session of its own, as a terminal or a batch system does; its root is in its environment."""
    environment = os.environ | {"KDGAT_ROOT": str(root)}
    with (root.parent / f"{root.name}.err").open("w") as errors:
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=errors, text=True, start_new_session=True, env=environment
        )
    return Started(process, root, time.time())


def processes_of(root: Path) -> list[psutil.Process]:
    """All processes that have the root in their environment, whatever session they are in."""
    return [process for process in psutil.process_iter() if _belongs(process, root)]


def _belongs(process: psutil.Process, root: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get("KDGAT_ROOT") == str(root)
    except psutil.Error:
        return False


def await_nobody(root: Path) -> None:
    """Every process of the command is gone."""
    deadline = time.monotonic() + 60
    while left := processes_of(root):
        assert time.monotonic() < deadline, f"still running: {list(map(words_of, left))}"
        time.sleep(0.1)


def executions(root: Path) -> list[tuple[str, str | None]]:
    """(stage, variant) of every execution that was started, in order."""
    tables = [pq.read_table(file) for file in (root / "store" / "runs").glob("*-start.parquet")]
    rows = sorted((row for table in tables for row in table.to_pylist()), key=lambda row: row["started_at"])
    return [(row["stage"], row["variant"]) for row in rows]


def executions_of(stage: str, root: Path) -> int:
    return [name for name, _ in executions(root)].count(stage)


def one_message(errors: str, lines: int = 15) -> str:
    """The one message that a command may end with; fails if there is more, or a traceback."""
    said = errors.splitlines()
    begins = [number for number, line in enumerate(said) if line.startswith("kdgat: ")]
    assert len(begins) == 1, errors
    assert len(said) <= lines, errors
    for noise in ("Traceback", "UnfinishedRun", "Compute Failed", 'File "'):
        assert noise not in errors, errors
    return "\n".join(said[begins[0] :])

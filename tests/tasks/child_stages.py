"""Stages for test_child: what a stage may do wrong, for real, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from kdgat_models.errors import DatasetError
from kdgat_models.training.memory import own_memory_mb
from tasks.artifact import Artifact
from tasks.stages.events import say


def good(folder: Path, given: Artifact) -> Artifact:
    say("working")
    (folder / "environment").write_text("\n".join(f"{k}={v}" for k, v in os.environ.items()))
    return Artifact(kind="x", path=folder, digest=given.digest)


def wrong_data(folder: Path) -> Artifact:
    raise DatasetError("there are no attacks in it")


def bug(folder: Path) -> Artifact:
    return {}["missing"]


def memory_error(folder: Path) -> Artifact:
    raise RuntimeError("layer 3") from MemoryError()


def cuda_out_of_memory(folder: Path) -> Artifact:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def hog(folder: Path) -> Artifact:
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20) * 32))
        time.sleep(0.02)


def reads_a_mapped_file(folder: Path, size_mb: int, forks: int) -> Artifact:
    """All pages of a file that is larger than the memory that was given, alone or in so many processes more."""
    with (folder / "store").open("wb") as file:
        file.truncate(size_mb << 20)
    mapped = np.memmap(folder / "store", np.uint8, "r")
    assert mapped.sum() == 0
    resident = Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0]
    assert int(resident) > size_mb * 1024
    children = [os.fork() for _ in range(forks)]
    time.sleep(1)
    if not all(children):
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    return Artifact(kind="x", path=folder, digest="0")


def child_hogs(folder: Path) -> Artifact:
    """Memory that a process of the stage uses, not the stage itself."""
    code = "import time; kept = bytearray(700 << 20); kept[::4096] = bytes(len(kept[::4096])); time.sleep(120)"
    subprocess.run([sys.executable, "-c", code], check=True)
    raise AssertionError


def forks(folder: Path, size_mb: int) -> Artifact:
    """Memory that three processes share."""
    kept = bytearray(os.urandom(1 << 20) * size_mb)
    children = [os.fork() for _ in range(2)]
    time.sleep(1)
    if not all(children):
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    return Artifact(kind="x", path=folder, digest=str(len(kept)))


def killed(folder: Path) -> Artifact:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def killed_when_large(folder: Path, size_mb: float) -> Artifact:
    kept = []
    while own_memory_mb() < size_mb:
        kept.append(os.urandom(1 << 20))
    time.sleep(1)  # until it has been seen
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def told_to_end(folder: Path) -> Artifact:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    raise AssertionError


def exits(folder: Path) -> Artifact:
    print("last words", file=sys.stderr)
    os._exit(3)


def sleeps(folder: Path) -> Artifact:
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(600)
    raise AssertionError

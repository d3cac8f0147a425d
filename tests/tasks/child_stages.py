"""Stages for test_child: what a stage may do wrong, for real, in a process of its own."""

import os
import signal
import sys
import time
from pathlib import Path

from kdgat_models.errors import DatasetError
from tasks.artifact import Artifact
from tasks.stages.events import emit


def good(folder: Path, given: Artifact) -> Artifact:
    emit("log", message="working")
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


def killed(folder: Path) -> Artifact:
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

"""What a process says of its memory, against memory that is taken and given back."""

import mmap
import os
import subprocess
import sys

import pytest

from kdgat_models.training.memory import own_memory_mb

SIZE = 64 * 2**20


def test_own_memory_is_what_a_process_takes_and_gives_back():
    before = own_memory_mb()
    taken = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE)
    taken.write(b"\1" * SIZE)
    assert own_memory_mb() - before == pytest.approx(64, abs=8)
    assert own_memory_mb(os.getpid()) == pytest.approx(own_memory_mb(), abs=8)
    taken.close()
    assert own_memory_mb() - before < 8


def test_shared_memory_counts_and_a_mapped_file_does_not(tmp_path):
    before = own_memory_mb()
    with mmap.mmap(-1, SIZE) as shared:
        shared.write(b"\1" * SIZE)
        assert own_memory_mb() - before == pytest.approx(64, abs=8)
    (tmp_path / "file").write_bytes(b"\1" * SIZE)
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == SIZE // mmap.PAGESIZE  # all of its pages are in memory now
        assert own_memory_mb() - before < 8


def test_a_process_that_is_not_there_is_an_error():
    with pytest.raises(OSError, match="No such"):
        own_memory_mb(2**22 + 1)  # above the highest number that Linux gives


WATCH = """
import mmap, threading, time
from kdgat_models.training import memory

def peak_of_64_mb(watched):
    taken = mmap.mmap(-1, 64 * 2**20, flags=mmap.MAP_PRIVATE)
    taken.write(bytes(1) * 64 * 2**20)
    held = memory.own_memory_mb()
    while watched and memory._SAMPLES.peak_mb < held - 8:  # however slow the machine is
        time.sleep(0.01)
    taken.close()
    return held

start = memory.peak_memory_mb()
peak_of_64_mb(watched=False)
print(memory.peak_memory_mb() - start < 32)  # nobody looked
memory.watch_memory()
memory.watch_memory()
print(sum(thread.name == "memory" for thread in threading.enumerate()))
held = peak_of_64_mb(watched=True)
print(held - 8 < memory.peak_memory_mb() < held + 8, memory.own_memory_mb() < held - 32)
"""


def test_a_peak_between_two_looks_is_seen_only_if_memory_is_watched():
    """In a process of its own, since watching does not end; it does not keep the process alive either."""
    done = subprocess.run([sys.executable, "-c", WATCH], check=False, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True", "1", "True", "True"], done.stderr

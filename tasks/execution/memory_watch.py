"""What a process tree uses of memory, from outside, and whether the kernel has killed for want of it."""

import contextlib
import threading
from collections import deque
from pathlib import Path

import psutil

from kdgat_models.training.memory import own_memory_mb

POLL_S = 0.2
KERNEL_S = 10.0  # between the kernel's count of a kill and the end of a large process
OWN_OF_SHARED = ("Pss_Anon", "Pss_Shmem")


class MemoryWatch:
    """Measures the memory that a process tree alone uses, and kills the tree above a limit."""

    def __init__(self, pid: int, limit_mb: float) -> None:
        self.peak_mb = 0.0
        self.exceeded = False
        self._limit_mb = limit_mb
        self._process = psutil.Process(pid)
        self._kills = deque([out_of_memory_kills()], maxlen=round(KERNEL_S / POLL_S))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Measure no longer; `peak_mb` and `exceeded` are final then."""
        self._stopped.set()
        self._thread.join()

    def kernel_killed(self) -> bool:
        """Whether the kernel has just killed somebody, of our control group if it has one, because memory had run out."""
        return out_of_memory_kills() > self._kills[0]

    def _run(self) -> None:
        while not self._stopped.wait(POLL_S):
            self._kills.append(out_of_memory_kills())
            try:
                tree = [self._process, *self._process.children(recursive=True)]
                used = tree_memory_mb([process.pid for process in tree])
            except (psutil.Error, OSError):
                continue  # one of them has just ended
            self.peak_mb = max(self.peak_mb, used)
            if used > self._limit_mb:
                self.exceeded = True
                for process in reversed(tree):
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                return


def tree_memory_mb(pids: list[int]) -> float:
    """Anonymous and shared memory of processes together, in MiB.

    What several of them share counts once. The kernel has to walk all pages to say so, 20 ms per GB, so that it is not asked
    about a process that is alone.
    """
    if len(pids) == 1:
        return own_memory_mb(pids[0])
    lines = [line for pid in pids for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in OWN_OF_SHARED) / 1024


def out_of_memory_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed because memory had run out: of our control group, else of the machine."""
    for file, word in (*_group_files(root), (root / "proc/vmstat", "oom_kill")):
        with contextlib.suppress(OSError):
            counted = dict(line.split()[:2] for line in file.read_text().splitlines() if " " in line)
            if word in counted:
                return int(counted[word])
    return 0


def _group_files(root: Path) -> list[tuple[Path, str]]:
    """Where the kernel may count for our control group, of either version; in a container its path may be that of the host."""
    files = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                base, name = root / "sys/fs/cgroup/memory", "memory.oom_control"
            elif not controllers:
                base, name = root / "sys/fs/cgroup", "memory.events"
            else:
                continue
            files += [(folder / name, "oom_kill") for folder in (base / path.lstrip("/"), base)]
    return files

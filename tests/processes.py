"""Processes of this machine, which may end while one looks at them."""

from contextlib import suppress

import psutil


def words_of(process: psutil.Process) -> list[str]:
    """The command line of a process; one that has ended, a zombie too, has none."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def descendants(pid: int) -> list[psutil.Process]:
    """Everything that a process started and that still runs."""
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []

"""How a command ends that is told to end, by Ctrl-C, a batch system or a closed terminal.

In Python the signal is a SystemExit in the main thread: all that the command holds is given back on the way out. If that takes
too long, because a server does not answer or a stage waits for its next attempt, it is given back from here. Either way no
process of its own is left, and one message says how to go on.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 12.0  # on the way out
CLOSING_S, KILL_S = 20.0, 5.0
GO_ON = "; run the same command again to go on where it stopped"


class Ending:
    """The end of this process from outside; there is one, `ENDING`."""

    def __init__(self) -> None:
        self.told: int | None = None  # the signal
        self.hint = ""  # how to go on
        self.at_last: list[Callable[[], None]] = []  # what is closed in any case
        self._once = threading.Lock()

    def listen(self) -> None:
        """Take the signals, from whoever had them. A command that nohup started stays deaf to the end of its terminal."""
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._hear)

    def end_if_told(self) -> None:
        """Do not return, if a signal has come."""
        if self.told is not None:
            self._end()

    def _hear(self, number: int, frame: Any) -> None:
        if self.told is not None:
            return  # it is ending, and will have soon
        self.told = number
        logging.disable(logging.CRITICAL)  # that this and that fails on the way out is no news
        threading.Thread(target=self._lose_patience, daemon=True).start()
        raise SystemExit(128 + number)

    def _lose_patience(self) -> None:
        time.sleep(PATIENCE_S)
        self._end()

    def _end(self) -> NoReturn:
        with self._once:  # the other thread waits here until it is no more
            for close in self.at_last:
                thread = threading.Thread(target=close, daemon=True)
                thread.start()
                thread.join(CLOSING_S)
            _kill_children()
            with suppress(OSError):  # the terminal may be gone
                print(f"\nkdgat: interrupted{self.hint}", file=sys.stderr, flush=True)
            os._exit(128 + (self.told or 0))


def _kill_children() -> None:
    children = [child for child in psutil.Process().children(recursive=True) if not _ends_after_us(child)]
    for child in children:
        with suppress(psutil.Error):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=KILL_S)[1]:
        with suppress(psutil.Error):
            child.kill()


def _ends_after_us(process: psutil.Process) -> bool:
    """Whether this is the process of multiprocessing that is deaf to SIGTERM, and removes our semaphores when we are gone."""
    with suppress(psutil.Error):
        return any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    return False


ENDING = Ending()

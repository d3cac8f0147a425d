"""A command that is told to end does, by itself or from outside, with one message and nothing of its own left."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

# A command with a process of its own. In the main thread it either waits, and hears the signal there, or is deaf to it.
COMMAND = """
import subprocess, sys, threading, time
from flows.cli import ending
from flows.cli.ending import ENDING
ending.PATIENCE_S, ending.CLOSING_S, ending.KILL_S = 1.0, 5.0, 5.0
ENDING.hint = "; go on like this"
ENDING.at_last.append(lambda: print("closed", flush=True))
own = [sys.executable, "-c", "import time; print(flush=True); time.sleep(3600)"]
child = subprocess.Popen(own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
child.stdout.readline()
ENDING.listen()
try:
    print(child.pid, flush=True)
    time.sleep(3600)
except SystemExit:
    print("on the way out", flush=True)
    if sys.argv[1] == "stuck":
        threading.Event().wait()  # a server that does not answer, a stage that waits for its next attempt
ENDING.end_if_told()
"""


@pytest.mark.parametrize("way", ["at once", "stuck"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_says_how_to_go_on_and_leaves_nothing(way, number):
    command = [sys.executable, "-c", COMMAND, way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as told:
        assert told.stdout is not None
        child = int(told.stdout.readline())
        os.kill(told.pid, number)
        try:
            out, err = told.communicate(timeout=300)
        finally:
            told.kill()
    left = psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE
    if left:
        os.kill(child, signal.SIGKILL)
    assert told.returncode == 128 + number
    assert not left
    assert out.splitlines() == ["on the way out", "closed"]
    assert err == "\nkdgat: interrupted; go on like this\n"


def test_a_command_that_was_started_deaf_to_the_end_of_its_terminal_stays_so():
    script = (
        "import os, signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from flows.cli.ending import ENDING\nENDING.listen()\nos.kill(os.getpid(), signal.SIGHUP)\nprint('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "goes on\n")

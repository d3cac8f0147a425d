"""What a stage says while it runs: one JSON object a line on standard output, read by `tasks.execution.child`, and the
same in words on standard error, which is `stage.log` in the folder of the run.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime

from tasks.events import Event, Message

BEGAN = time.monotonic()  # a stage has a process of its own
_ONE_LINE = threading.Lock()  # captures are ingested side by side


def emit(event: Event) -> None:
    """Print an event."""
    with _ONE_LINE:
        sys.stdout.write(json.dumps(event.as_json()) + "\n")
        sys.stdout.flush()
    note(event.words)


def say(message: str) -> None:
    """Print a line that the logs of stage and flow are to have."""
    emit(Message(message=message))


def note(line: str) -> None:
    """Print a line that only the stage's own log is to have."""
    with _ONE_LINE:
        sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
        sys.stderr.flush()

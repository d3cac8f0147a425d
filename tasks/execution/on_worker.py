"""What runs on a Dask worker: a stage in a child process. A node needs neither Prefect nor its API for it."""

import importlib
import os
import socket
import time
from pathlib import Path

from kdgat_models.errors import StageError, StageInterrupted
from tasks.events import Started
from tasks.execution.child import StageCall, StageOutcome, run_in_child
from tasks.execution.cleanup import MARK

SAID = "said"  # Dask writes its own keys beside it


def on_worker(call: StageCall, ticket: str) -> StageOutcome | StageError:
    """Run the stage in a child process, and send its events to the client.

    Dask gives a task to another worker when the first is gone. Two processes must not write to one folder, so a second
    start of the same submission is refused; whether to try again is decided by the supervisor.

    A failure is returned, not raised: of what is raised, Dask prints a dump with all arguments.
    """
    worker = importlib.import_module("distributed").get_worker()
    try:
        mark_of(call, ticket).touch(exist_ok=False)
        job = os.environ.get("SLURM_JOB_ID")
        started = Started(worker=worker.address, host=socket.gethostname(), job=job, time=time.time())
        worker.log_event(ticket, {SAID: started.as_json()})
        return run_in_child(call, lambda event: worker.log_event(ticket, {SAID: event.as_json()}))
    except StageError as error:
        return error
    except FileExistsError:
        return StageInterrupted(f"the worker that ran {call.function} is gone")
    except Exception as error:
        return StageError(f"{call.function} could not be run on {socket.gethostname()}: {type(error).__name__}: {error}")


def mark_of(call: StageCall, ticket: str) -> Path:
    """The file that says that a submission has been started."""
    return Path(call.folder) / f"{MARK}{ticket}"

"""A stage in a process of its own: what runs out of memory is the stage, not the worker, and its memory is gone when it ends.

`run_in_child` is called on a worker (or anywhere) and starts `python -m tasks.execution.child`. The call goes in as JSON on
standard input, events come back as JSON lines on standard output, the same in words, and everything
else that the stage prints, goes to `stage.log` in its folder.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import validate_call

from config.secrets import without_secrets
from kdgat_models.errors import KdgatError, StageError, StageInterrupted, StageKilled, StageOutOfMemory
from kdgat_models.training.memory import peak_memory_mb, watch_memory
from tasks.artifact import Artifact
from tasks.events import EventHandler, Failed, Made, read_event
from tasks.execution.memory_watch import MemoryWatch

LOG = "stage.log"
NEARLY = 0.9  # of its memory: a process that was killed there had run out of it
PR_SET_PDEATHSIG = 1
PARENT = "KDGAT_PARENT_PID"


class StageCall(NamedTuple):
    """What to run, where, and how much it may use."""

    function: str  # "module:name" of a function that takes JSON-able or Pydantic arguments and returns an Artifact
    arguments: dict[str, Any]  # JSON
    folder: str
    memory_mb: float  # anonymous and shared memory at which the child is ended
    threads: int


class StageOutcome(NamedTuple):
    """What came of it."""

    artifact: Artifact
    peak_memory_mb: float
    seconds: float


def run_in_child(call: StageCall, on_event: EventHandler = lambda event: None) -> StageOutcome:
    """Run a stage to its end.

    Raises:
        StageOutOfMemory: it ran out of memory, was ended for exceeding `call.memory_mb`, or was killed by the kernel for it.
        StageInterrupted: it was told to end, as a batch system does to all processes of a job.
        StageKilled: it was killed, and nothing says that memory had to do with it.
        StageError: it failed otherwise; the message is the stage's own.
    """
    started = time.monotonic()
    log = Path(call.folder) / LOG
    environment = _environment(call.threads)
    with log.open("ab") as errors:
        # A session of its own: Ctrl-C in a terminal goes to the flow, which decides what becomes of its stages.
        child = subprocess.Popen(
            [sys.executable, "-m", "tasks.execution.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
    watch = MemoryWatch(child.pid, call.memory_mb)
    ending: Failed | Made | None = None
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # a child that died at once says so by its exit code
            child.stdin.write(json.dumps(call._asdict()).encode())
            child.stdin.close()
        for line in child.stdout:
            event = read_event(json.loads(line))
            if isinstance(event, Failed | Made):
                ending = event
            else:
                on_event(event)
        code = child.wait()
    finally:
        watch.stop()
        if child.poll() is None:
            child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
    peak = max(watch.peak_mb, ending.peak_memory_mb if isinstance(ending, Made) else 0.0)
    try:
        made = _made(ending, code, watch, peak, call)
    except StageError as error:
        error.peak_memory_mb = peak
        raise
    return StageOutcome(made, peak, round(time.monotonic() - started, 3))


def _environment(threads: int) -> dict[str, str]:
    """The worker's environment with `threads` threads, without secrets and what Dask's nanny does to malloc, oneDNN bounded.

    The nanny sets MALLOC_TRIM_THRESHOLD_ to 64 KB, so that glibc gives every freed tensor back to the kernel and takes
    it again at the next step: training then spends most of its time on page faults (tests/benchmarks/malloc.py).

    oneDNN, which multiplies in bfloat16, keeps compiled code for the last 1024 shapes of its operands. No two batches of
    graphs have the same shape: nothing is ever found there, and memory grows with every step.
    """
    kept = {name: value for name, value in without_secrets(os.environ).items() if name != "MALLOC_TRIM_THRESHOLD_"}
    numbers = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    return kept | numbers | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8", PARENT: str(os.getpid())}


def _made(ending: Failed | Made | None, code: int, watch: MemoryWatch, peak: float, call: StageCall) -> Artifact:
    """What the stage made; raises what `run_in_child` does if it did not come so far."""
    killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    given = f"it was given {call.memory_mb:.0f} MB and used {peak:.0f} MB"
    near = killed and peak >= NEARLY * call.memory_mb
    if watch.exceeded or (isinstance(ending, Failed) and ending.out_of_memory) or near or (killed and watch.kernel_killed()):
        raise StageOutOfMemory(f"{call.function} ran out of memory: {given}")
    if killed:
        raise StageKilled(f"{call.function} was killed (signal {signal.SIGKILL:d}); nothing says that memory ran out: {given}")
    if code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        raise StageInterrupted(f"{call.function} was told to end (signal {signal.SIGTERM:d})")
    if isinstance(ending, Failed):
        raise StageError(ending.message)
    if code != 0 or ending is None:
        log = Path(call.folder) / LOG
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise StageError(f"{call.function} ended with exit code {code} and no result; see {log}\n{tail}")
    return ending.artifact


def _main() -> int:
    # If the worker dies, so does the stage: nothing computes on for nobody.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT]):  # it died before we asked to be told
        return 1
    watch_memory()
    from tasks.stages.events import emit, note

    call = StageCall(**json.loads(sys.stdin.read()))
    job = os.environ.get("SLURM_JOB_ID")
    note(
        f"{call.function} starts on {socket.gethostname()}{f' in job {job}' if job else ''}, process {os.getpid()}: "
        f"{call.memory_mb:.0f} MB, {call.threads} threads"
    )
    try:
        module, _, name = call.function.partition(":")
        function = validate_call(getattr(importlib.import_module(module), name))
        artifact = function(**call.arguments, folder=Path(call.folder))
    except KdgatError as error:
        emit(Failed(message=str(error), out_of_memory=False))
        return 0
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error} (traceback in {Path(call.folder) / LOG})"
        emit(Failed(message=message, out_of_memory=is_out_of_memory(error)))
        return 0
    emit(Made(artifact=artifact, peak_memory_mb=peak_memory_mb()))
    return 0


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that memory ran out, on the host or on a GPU."""
    while error is not None:
        text = str(error).lower()
        named = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
        if named or "out of memory" in text or "can't allocate memory" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    raise SystemExit(_main())

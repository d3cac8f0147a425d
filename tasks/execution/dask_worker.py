"""`python -m tasks.execution.dask_worker OPTIONS`: a Dask worker that ends with the process that started it."""

import ctypes
import os
import signal

PARENT = "KDGAT_PARENT_PID"
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run Dask's own command; returns 1 if the parent was gone before we could ask to be told."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT]):
        return 1
    from distributed.cli.dask_worker import main as dask_worker

    dask_worker()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Dask's scheduler and worker, which talk TLS among themselves and to nobody else.

Dask opens an HTTP port on each of them, also without a dashboard: it tells whoever asks what runs there, and on the
scheduler forwards requests to workers. There is no setting for none.
"""

import asyncio
from typing import Any

import distributed
from distributed import proctitle

# Where setproctitle is installed, Dask names its workers "dask worker [...]". SLURM's proctrack/linuxproc reads the names of
# processes up to the first blank, loses such a process, and can then neither end a job nor cancel it.
proctitle.setproctitle_mod = None  # pyright: ignore[reportPrivateImportUsage]

ENDED = (distributed.Status.closing, distributed.Status.closed, distributed.Status.failed)


class _WithoutHttp:
    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Open no port."""


class Scheduler(_WithoutHttp, distributed.Scheduler):
    """Without HTTP."""


class Worker(_WithoutHttp, distributed.Worker):
    """Without HTTP."""


class EndsWhatIsStarting:
    """A SpecCluster that can be closed while workers are being started.

    Dask's own asserts at the end that every worker it ever made has ended, and stops halfway if one has not, such as one that
    took the place of a worker that had just ended.
    """

    status: distributed.Status
    _created: Any  # all workers that were ever made

    async def _close(self) -> None:
        try:
            await super()._close()  # pyright: ignore[reportAttributeAccessIssue]
        except AssertionError:
            alive = [worker for worker in self._created if worker.status not in ENDED]
            await asyncio.gather(*(worker.close() for worker in alive), return_exceptions=True)
            for worker in alive:
                worker.status = distributed.Status.closed
            self.status = distributed.Status.failed  # or it would wait for the first attempt
            await super()._close()  # pyright: ignore[reportAttributeAccessIssue]

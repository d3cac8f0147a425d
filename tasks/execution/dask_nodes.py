"""Dask's scheduler and worker, which talk TLS among themselves and to nobody else.

Dask opens an HTTP port on each of them, also without a dashboard: it tells whoever asks what runs there, and on the
scheduler forwards requests to workers. There is no setting for none.
"""

from typing import Any

import distributed
from distributed import proctitle

# Where setproctitle is installed, Dask names its workers "dask worker [...]". SLURM's proctrack/linuxproc reads the names of
# processes up to the first blank, loses such a process, and can then neither end a job nor cancel it.
proctitle.setproctitle_mod = None  # pyright: ignore[reportPrivateImportUsage]


class _WithoutHttp:
    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Open no port."""


class Scheduler(_WithoutHttp, distributed.Scheduler):
    """Without HTTP."""


class Worker(_WithoutHttp, distributed.Worker):
    """Without HTTP."""

"""Dask's scheduler and worker, which talk TLS among themselves and to nobody else.

Dask opens an HTTP port on each of them, also without a dashboard: it tells whoever asks what runs there, and on the
scheduler forwards requests to workers. There is no setting for none.
"""

from typing import Any

import distributed


class _WithoutHttp:
    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Open no port."""


class Scheduler(_WithoutHttp, distributed.Scheduler):
    """Without HTTP."""


class Worker(_WithoutHttp, distributed.Worker):
    """Without HTTP."""

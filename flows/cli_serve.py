"""`kdgat serve`: Prefect's server, a work pool, a worker and the deployments, until Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer

from config.paths import Paths, default_root
from flows.cli_options import Root, prepare


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on. Any but loopback lets others start runs.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the UI and the API.", min=1, max=65535)] = 4200,
    root: Root = Path("experiments"),
) -> None:
    """Start Prefect's server and UI, a worker and all deployments; stop all of it on Ctrl-C.

    Runs that a crash of this machine interrupted are started again and go on where they stopped.
    """
    prepare(root)
    from tasks.serve import Service

    Service(Paths(default_root()), host, port).run()

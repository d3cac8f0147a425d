"""`kdgat serve`: Prefect's server, a work pool, a worker and the deployments, until Ctrl-C."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.paths import Paths, default_root
from flows.cli.options import Root, existing, prepare
from tasks.service.running import client_settings, running_service

HOST = (
    "Address to listen on. Any but loopback lets other machines reach UI and API over plain HTTP: the key and all that is "
    "sent can be read on the way, and whoever has the key can do what you can. MLflow's UI stays on loopback."
)


def serve(
    host: Annotated[str, typer.Option(help=HOST)] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the UI and the API.", min=1, max=65535)] = 4200,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Serve MLflow's UI too.")] = False,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's UI.", min=1, max=65535)] = 5000,
    print_env: Annotated[
        bool, typer.Option("--print-env", help="Print what a shell needs to talk to the service that runs, and end.")
    ] = False,
    root: Root = Path("experiments"),
) -> None:
    """Start Prefect's server and UI, a worker and all deployments; stop all of it on Ctrl-C.

    Runs that a crash of this machine interrupted are started again and go on where they stopped. UI and API ask for the key
    in ROOT/access/key, which is made at the first start. In a shell: `eval "$(kdgat serve --print-env)"`, and then
    `prefect deployment run ...`.
    """
    if print_env:
        _print_environment(existing(root))
        return
    prepare(root)
    from tasks.service.serve import Service

    Service(Paths(default_root()), host, port, mlflow_port if mlflow else None).run()


def _print_environment(paths: Paths) -> None:
    service = running_service(paths)
    if service is None:
        raise ConfigError(
            f"no `kdgat serve` runs below {paths.root} on this machine; start one, or name its folder with --root"
        )
    for name, value in client_settings(paths, service).items():
        print(f"export {name}={shlex.quote(value)}")

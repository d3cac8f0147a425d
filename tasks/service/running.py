"""The service that runs below a root, as others find it: its address, and the settings that its clients need."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from config.access import access_key
from config.errors import ConfigError
from config.paths import Paths, default_root
from kdgat_models.files import write_json

SERVER_KEY, CLIENT_KEY, API_URL = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", "PREFECT_API_URL"
# Whoever has no key is refused, and so is any page of another origin. What the user has set stays as it is.
LOCKED = {
    "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "",
    "PREFECT_SERVER_UI_API_URL": "/api",  # of the origin that the UI comes from, by whatever name it was reached
}


class Running(NamedTuple):
    """What `kdgat serve` writes down when its server answers."""

    api: str
    pid: int  # of `kdgat serve`
    started: float  # Unix time of that process: another may have its number by now
    own_key: bool  # that of the root; else one that its user gave it, which is written down nowhere
    mlflow: str | None = None  # address of MLflow's UI, if it is served


def running_service(paths: Paths) -> Running | None:
    """The service that runs below this root, on this machine."""
    try:
        service = Running(**json.loads(_file(paths).read_text()))
        alive = psutil.Process(service.pid).create_time() == service.started
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    # Whoever else answers at that address by now must not be given the key.
    return service if alive and answers(f"{service.api}/health") else None


def client_settings(paths: Paths, service: Running) -> dict[str, str]:
    """Environment that Prefect needs to talk to the service.

    Raises:
        ConfigError: the service has a key that this process was not given.
    """
    if service.own_key:
        return {API_URL: service.api, CLIENT_KEY: access_key(paths.root)}
    key = os.environ.get(SERVER_KEY) or os.environ.get(CLIENT_KEY)
    if not key:
        raise ConfigError(f"{service.api} was started with a {SERVER_KEY} of its user's; set {CLIENT_KEY} to that key")
    return {API_URL: service.api, CLIENT_KEY: key}


def write_down(paths: Paths, api: str, own_key: bool, mlflow: str | None) -> None:
    """Let others find the service that this process is."""
    write_json(_file(paths), Running(api, os.getpid(), psutil.Process().create_time(), own_key, mlflow)._asdict())


def strike_out(paths: Paths) -> None:
    """The service of this process has ended."""
    with suppress(OSError):
        _file(paths).unlink()


def lock_temporary_server() -> None:
    """Give the temporary server the key of the root. A server that is named anywhere in Prefect's settings is not given it."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None:
        return
    given = settings.server.api.auth_string
    key = given.get_secret_value() if given else access_key(default_root())
    os.environ |= {SERVER_KEY: key, CLIENT_KEY: key}
    os.environ |= {name: os.environ.get(name, value) for name, value in LOCKED.items()}
    refresh_global_settings_context()


def answers(address: str) -> bool:
    """Whether something answers there with success."""
    import httpx  # takes a while to import, and most commands do not need it

    try:
        return httpx.get(address, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _file(paths: Paths) -> Path:
    return paths.root / "prefect" / "service.json"

"""MLflow's UI on loopback, behind the access key: `python -m tasks.service.tracking_ui PORT`, for `kdgat serve --mlflow`.

A browser sends the key of basic authentication along with whatever another page makes it ask for, so requests of pages of
other origins are refused, and so are requests for another host, which a page may have pointed at this machine.
"""

import base64
import hmac
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from config.paths import Paths

HOST = "127.0.0.1"
KEY = "KDGAT_ACCESS_KEY"
PROBE = "/health"
READING_METHODS = ("GET", "HEAD")

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]


class Refusal(NamedTuple):
    """Why a request is not passed on."""

    status: int
    reason: str


class Guard:
    """An ASGI application in front of another: it passes on what comes with the key, to this host, from its own pages."""

    def __init__(self, application: Application, key: str, port: int) -> None:
        self._application = application
        self._credentials = b"Basic " + base64.b64encode(key.encode())
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        refusal = None if scope["type"] == "lifespan" else self.refusal(scope)
        if refusal is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            if refusal.status == 401:
                headers.append((b"www-authenticate", b'Basic realm="KD-GAT: the access key of this root"'))
            await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
            await send({"type": "http.response.body", "body": refusal.reason.encode()})

    def refusal(self, scope: Scope) -> Refusal | None:
        """Why a request is refused, or None."""
        headers = {name.lower().decode(): value for name, value in scope["headers"]}
        if headers.get("host", b"").decode("latin-1") not in self._hosts:
            return Refusal(403, f"this is not the host that was asked for; there are: {', '.join(sorted(self._hosts))}")
        if scope["path"] == PROBE and scope.get("method") in READING_METHODS:
            return None
        if not hmac.compare_digest(headers.get("authorization", b""), self._credentials):
            return Refusal(401, "user kdgat and the key of this root are needed; `kdgat serve --print-env` shows it")
        if not self._is_of_own_page(scope, headers):
            return Refusal(403, "refused: a page of another origin asked for it")
        return None

    def _is_of_own_page(self, scope: Scope, headers: dict[str, bytes]) -> bool:
        origin = headers.get("origin")
        if origin is not None:
            return origin.decode("latin-1") in self._origins
        if headers.get("sec-fetch-site", b"none") in (b"none", b"same-origin"):
            return True
        # A link on another page may be followed.
        return scope.get("method") in READING_METHODS and headers.get("sec-fetch-dest") == b"document"


def application(paths: Paths) -> Application:
    """MLflow's own application for the store below a root."""
    from mlflow.server import constants

    from tasks.records.tracking import open_client

    open_client(paths)  # makes the database if there is none
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = paths.tracking_uri
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = Path(paths.mlflow / "artifacts").as_uri()
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    from mlflow.server.fastapi_app import app

    return app


def main() -> None:
    """Serve until told to end."""
    import uvicorn

    port, key = int(sys.argv[1]), os.environ.pop(KEY)
    guard = Guard(application(Paths(Path(os.environ["KDGAT_ROOT"]))), key, port)
    uvicorn.run(guard, host=HOST, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()

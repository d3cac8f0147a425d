"""Prefect's server for one command. It lives as long as the process that started it, and no longer, however that ends.

Prefect would start one itself; but that one hears the signals that are meant for the command, so that a flow could not report
its end to it, and it stays for ever if the command is killed. This one is deaf to signals and reads from a pipe, which the
kernel closes with the process at its other end.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from config.secrets import without_other_secrets
from kdgat_models.errors import KdgatError

if TYPE_CHECKING:
    from uvicorn import Server

START_S, STOP_S = 600.0, 5.0  # the first only guards against hanging: a busy machine takes minutes
LOG = "temporary_server.log"
IGNORED_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class TemporaryServer:
    """The server's process, seen from the command that needs it."""

    def __init__(self, logs: Path) -> None:
        """Start it; `logs` is the folder of its log."""
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / LOG
        own = without_other_secrets(os.environ, "PREFECT_")
        with socket.socket() as address, self._log.open("ab") as log:
            address.bind(("127.0.0.1", 0))  # bound here, so that nobody else can take the port
            self.url = f"http://127.0.0.1:{address.getsockname()[1]}/api"
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.service.temporary_server", str(address.fileno())],
                pass_fds=[address.fileno()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**own, "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            KdgatError: it does not start; says what it said.
        """
        import httpx

        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "Error: " in line] or lines
        raise KdgatError(f"Prefect's server does not start; its log is {self._log}\n" + "\n".join(errors[-1:]))

    def stop(self) -> None:
        """End it; it is given a moment to write what it was told."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _main(descriptor: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    serving: list[Server] = []
    threading.Thread(target=_end_with_parent, args=(serving,), daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    serving.append(uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")))
    serving[0].run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_parent(serving: "list[Server]") -> None:
    os.read(0, 1)  # returns when the other end is closed
    if serving:
        serving[0].should_exit = True
        time.sleep(STOP_S)
    os._exit(0)


if __name__ == "__main__":
    _main(int(sys.argv[1]))

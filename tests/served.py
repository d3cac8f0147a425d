"""A `kdgat serve` in a process of its own, and what a user does with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
from processes import words_of
from sandbox import free_ports

from kdgat_models.runs.store import RunStore


class Patient(httpx.HTTPTransport):
    """Asks again when the server is too busy, which it says by 503, as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + 600
        while (answer := super().handle_request(request)).status_code == 503 and time.monotonic() < deadline:
            answer.close()
            time.sleep(1)
        return answer


class Service:
    """A `kdgat serve` in a process of its own, and Prefect's API."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root, self.options = root, options
        self.port, self.mlflow_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.mlflow = f"http://127.0.0.1:{self.mlflow_port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    def start(self, **environment: str) -> None:
        log = (self.root / "serve.log").open("ab")
        ports = ["--port", str(self.port), "--mlflow-port", str(self.mlflow_port)]
        command = [sys.executable, "-m", "flows.cli", "serve", "--root", str(self.root), *ports, *self.options]
        written = self.text().count("ready;")
        own = os.environ | environment
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=own)
        log.close()
        await_that(lambda: self._is_ready(written), "the service is ready", 900, self.text)

    def _is_ready(self, written: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it has ended\n{self.text()}"
        return self.text().count("ready;") > written

    def stop(self) -> None:
        assert self.process is not None
        if self._client is not None:
            self._client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(90)

    def text(self) -> str:
        return (self.root / "serve.log").read_text()

    @property
    def key(self) -> str:
        return (self.root / "access" / "key").read_text().strip()

    @property
    def client(self) -> httpx.Client:
        """Prefect's API, with the key and what keeps other pages out."""
        if self._client is None:
            name = str(uuid.uuid4())
            user, _, password = self.key.partition(":")
            self._client = httpx.Client(base_url=f"{self.url}/api", auth=(user, password), timeout=300, transport=Patient())
            token = self._client.get("/csrf-token", params={"client": name}).raise_for_status().json()["token"]
            self._client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": name})
        return self._client

    def post(self, path: str, **body):
        answer = self.client.post(f"/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str):
        return self.client.get(f"/{path}").raise_for_status().json()

    def deployment(self, name: str) -> dict:
        return self.get(f"deployments/name/{name}")

    def run(self, identifier: str) -> dict:
        return self.get(f"flow_runs/{identifier}")

    def submit(self, deployment: str, *options: str, **parameters) -> subprocess.CompletedProcess[str]:
        """`prefect deployment run`, as from a shell that was given what `--print-env` prints."""
        pairs = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]
        prefect = [sys.executable, "-m", "prefect", "deployment", "run", deployment, *pairs, *options]
        serve = f"{sys.executable} -m flows.cli serve --print-env --root {self.root}"
        return subprocess.run(
            ["bash", "-c", f'eval "$({serve})" && exec "$@"', "bash", *prefect],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=os.environ | {"PREFECT_HOME": str(self.root / "shell")},
        )

    def start_run(self, deployment: str, **parameters) -> str:
        done = self.submit(deployment, **parameters)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("UUID: ")[2].split()[0]

    def rows_since(self, count: int, stage: str) -> bool:
        """Whether `stage` has started since there were `count` attempts."""
        return any(row["stage"] == stage for row in self.rows()[count:])

    def ends(self, identifier: str, state: str, seconds: float = 1200) -> dict:
        """The run, once it has ended, which must be in `state`."""

        def ended():
            try:
                return self.run(identifier)["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            except httpx.TransportError:  # the server was killed and is being started again
                return False

        await_that(ended, f"{identifier} ends", seconds, self.logs)
        run = self.run(identifier)
        assert run["state_type"] == state, f"{run['state']}\n{self.logs()}"
        return run

    def logs(self) -> str:
        """The last log lines of all runs."""
        lines = self.post("logs/filter", sort="TIMESTAMP_DESC", limit=60)
        return "\n".join(line["message"][-1500:] for line in reversed(lines)) + self.text()[-1000:]

    def rows(self) -> list[dict]:
        return RunStore(self.root / "store").query("select * from attempts order by started_at")

    def pid_of(self, part: str) -> int:
        """The newest process of a part of the service."""
        assert self.process is not None
        found = [child for child in psutil.Process(self.process.pid).children() if {part, "start"} <= set(words_of(child))]
        return max(found, key=lambda child: child.create_time()).pid


def await_that(condition, what, seconds=300.0, log=lambda: ""):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{log()}"
        time.sleep(0.2)


def leftovers(root: Path) -> list[psutil.Process]:
    """Processes that still belong to the service."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KDGAT_ROOT") == str(root) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def answer(port, context=None):
    """What a server says to somebody without a certificate of the run who asks for a page; nothing if it hangs up."""
    with ExitStack() as stack:
        stack.enter_context(suppress(OSError))
        asking = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        if context is not None:
            asking = stack.enter_context(context.wrap_socket(asking))
        asking.sendall(b"GET /sitemap.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return asking.recv(1000)
    return b""

"""Prefect's server, a work pool with a worker, and the deployments, kept alive until they are told to stop."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml
from filelock import FileLock, Timeout

from config.errors import ConfigError
from config.paths import CHECKOUT, Paths
from kdgat_models.errors import KdgatError
from kdgat_models.files import write_json

POOL = "kdgat"
START_S, STOP_S, POLL_S = 180.0, 45.0, 0.5
BACKOFF_S = (1.0, 60.0)  # before a part that died is started again: first, most
PREFECT_FILE = CHECKOUT / "deployments" / "prefect.yaml"


class Part(NamedTuple):
    """One process of the service."""

    name: str
    command: list[str]


class Service:
    """Runs the parts, starts them again if they die, ends them all together."""

    def __init__(self, paths: Paths, host: str, port: int) -> None:
        self.paths, self.host, self.port = paths, host, port
        self.api = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/api"
        self.logs = paths.root / "prefect" / "logs"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._pauses: dict[str, float] = {}
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            ConfigError: the port is taken, or another service runs below this root.
            KdgatError: a part does not start.
        """
        with _only_one(self.paths), _signals(self._stop):
            try:
                self._start()
                self._watch()
            finally:
                self._end_all()
                _state_file(self.paths).unlink(missing_ok=True)

    def _start(self) -> None:
        if _answers(self.api):
            raise ConfigError(f"something already answers at {self.api}; choose another --port")
        os.environ["PREFECT_API_URL"] = self.api  # also of the server itself: its UI calls that address
        self.logs.mkdir(parents=True, exist_ok=True)
        say(f"starting Prefect's server (log: {self.logs / 'server.log'})")
        self._launch(self._server())
        self._await_server()
        if self._stopping:
            return
        write_json(_state_file(self.paths), {"api": self.api, "pid": os.getpid()})
        self._prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        say("deploying the flows")
        os.environ["KDGAT_HOME"] = str(CHECKOUT)
        self._prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE))
        from tasks.recovery import restart_interrupted

        for name in restart_interrupted(POOL):
            say(f"{name} was interrupted by a crash and is started again")
        self._launch(self._worker())
        self._announce()

    def _server(self) -> Part:
        address = ["--host", self.host, "--port", str(self.port)]
        return Part("server", [sys.executable, "-m", "prefect", "server", "start", *address])

    def _worker(self) -> Part:
        worker = ["--pool", POOL, "--type", "process", "--name", "kdgat", "--install-policy", "never"]
        return Part("worker", [sys.executable, "-m", "prefect", "worker", "start", *worker])

    def _announce(self) -> None:
        interface = self.api.removesuffix("/api")
        names = [f"{_flow_name(entry['entrypoint'])}/{entry['name']}" for entry in deployments()]
        say(f"UI           {interface}/dashboard\nAPI          {self.api}\nstate, logs  {self.paths.root / 'prefect'}")
        say(f"deployments  {', '.join(names)}")
        say(f"from a shell: PREFECT_API_URL={self.api} prefect deployment run train-pipeline/local --param dataset=demo")
        say("ready; Ctrl-C stops all of it")

    def _launch(self, part: Part) -> None:
        with (self.logs / f"{part.name}.log").open("ab") as log:
            # A session of its own: Ctrl-C is for us, who then stop the parts in order.
            self._processes[part.name] = subprocess.Popen(
                part.command,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  this process has no other threads
            )

    def _watch(self) -> None:
        parts = {"server": self._server, "worker": self._worker}
        while not self._stopping:
            time.sleep(POLL_S)
            for name, part in parts.items():
                process = self._processes.get(name)
                if process is None or process.poll() is None or self._stopping:
                    continue
                pause = self._pauses.get(name, BACKOFF_S[0])
                self._pauses[name] = min(pause * 2, BACKOFF_S[1])
                say(f"the {name} ended (exit code {process.returncode}) and is started again; see {self.logs / f'{name}.log'}")
                self._sleep(pause)
                self._launch(part())

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stopping:
            time.sleep(min(POLL_S, seconds))

    def _await_server(self) -> None:
        deadline = time.monotonic() + START_S
        while not _answers(self.api) and not self._stopping:
            if self._processes["server"].poll() is not None or time.monotonic() > deadline:
                log = (self.logs / "server.log").read_text(errors="replace").splitlines()[-15:]
                raise KdgatError("Prefect's server does not start:\n" + "\n".join(log))
            time.sleep(POLL_S)

    def _prefect(self, *arguments: str) -> None:
        if self._stopping:
            return
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments], capture_output=True, text=True, cwd=CHECKOUT, check=False
        )
        if done.returncode != 0:
            raise KdgatError(f"prefect {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _stop(self) -> None:
        if not self._stopping:
            say("stopping: runs in progress are ended and can be started again, they go on where they stopped")
        self._stopping = True

    def _end_all(self) -> None:
        """The worker first, with the runs that it started; then the server, to which they report their end."""
        for name in ("worker", "server"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            family = _family(process.pid)
            if process.poll() is None:
                process.terminate()
            _await_end(family, STOP_S)
        say("stopped")


def deployments() -> list[dict]:
    """The deployments of prefect.yaml."""
    return yaml.safe_load(PREFECT_FILE.read_text())["deployments"]


def running_api(paths: Paths) -> str | None:
    """Address of a service that runs below this root."""
    try:
        api = json.loads(_state_file(paths).read_text())["api"]
    except (OSError, ValueError, KeyError):
        return None
    return api if _answers(api) else None


def say(text: str) -> None:
    """Print for whoever started the service."""
    print(text, flush=True)


def _state_file(paths: Paths) -> Path:
    return paths.root / "prefect" / "service.json"


def _answers(api: str) -> bool:
    import httpx  # takes a while to import, and most commands do not need it

    try:
        return httpx.get(f"{api}/health", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _flow_name(entrypoint: str) -> str:
    return entrypoint.rpartition(":")[2].replace("_", "-")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: also after kill -9 nothing serves on


def _family(pid: int) -> list[psutil.Process]:
    """A process and everything that it started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _await_end(family: list[psutil.Process], seconds: float) -> None:
    """Wait for processes to end; end those that do not."""
    _, alive = psutil.wait_procs(family, timeout=seconds)
    for process in alive:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=5)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()


class _only_one:  # noqa: N801  reads as the context manager that it is
    """One service below a root."""

    def __init__(self, paths: Paths) -> None:
        self._lock = FileLock(paths.root / "prefect" / "service.lock")

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(f"another `kdgat serve` runs below this root ({self._lock.lock_file})") from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _signals:  # noqa: N801
    """Calls a function on SIGINT and SIGTERM."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop())

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

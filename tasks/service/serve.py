"""Prefect's server, a work pool with a worker, and the deployments, kept alive until they are told to stop."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil
import yaml
from filelock import FileLock, Timeout

from config.access import access_key, key_file
from config.errors import ConfigError
from config.paths import CHECKOUT, Paths, without_password
from config.secrets import without_other_secrets
from kdgat_models.errors import KdgatError
from tasks.service import tracking_ui
from tasks.service.running import API_URL, CLIENT_KEY, LOCKED, SERVER_KEY, answers, strike_out, write_down

WORK_POOL = "kdgat"
START_S, STOP_S, POLL_S = 600.0, 45.0, 0.5  # the first only guards against hanging: a busy machine takes minutes
BACKOFF_S = (1.0, 60.0)  # before a part that died is started again: first, most
PREFECT_FILE = CHECKOUT / "deployments" / "prefect.yaml"
WORK_POOL_FILE = PREFECT_FILE.with_name("work_pool.json")


class Part(NamedTuple):
    """One process of the service. Keys are in its environment, which other users cannot read, unlike its command."""

    name: str
    command: list[str]
    environment: dict[str, str]


class Service:
    """Runs the parts, starts them again if they die, ends them all together."""

    def __init__(self, paths: Paths, host: str, port: int, mlflow_port: int | None = None) -> None:
        """`mlflow_port`: serve MLflow's UI there too."""
        self.paths, self.host, self.port = paths, host, port
        self.api = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/api"
        self.logs = paths.root / "prefect" / "logs"
        self.mlflow = f"http://{tracking_ui.HOST}:{mlflow_port}" if mlflow_port else None
        self.own_key = SERVER_KEY not in os.environ
        self._key = access_key(paths.root) if self.own_key else os.environ[SERVER_KEY]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._pauses: dict[str, float] = {}
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            ConfigError: a port is in use, another service runs below this root, or MLflow's store is on a server.
            KdgatError: a part does not start.
        """
        with _only_one(self.paths), _signals(self._stop):
            try:
                self._start()
                self._watch()
            finally:
                self._end_all()
                strike_out(self.paths)

    def _start(self) -> None:
        self._check()
        os.environ |= {API_URL: self.api, CLIENT_KEY: self._key, "KDGAT_HOME": str(CHECKOUT)}
        self.logs.mkdir(parents=True, exist_ok=True)
        say(f"starting Prefect's server (log: {self.logs / 'server.log'})")
        self._launch(self._server())
        self._await_part("server", f"{self.api}/health")
        if self.mlflow:
            say(f"starting MLflow's UI (log: {self.logs / 'mlflow.log'})")
            self._launch(self._tracking_ui())
            self._await_part("mlflow", self.mlflow + tracking_ui.PROBE)
        if self._stopping:
            return
        write_down(self.paths, self.api, self.own_key, self.mlflow)
        self._prefect(
            "work-pool", "create", WORK_POOL, "--type", "process", "--base-job-template", str(WORK_POOL_FILE), "--overwrite"
        )
        say("deploying the flows")
        self._prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE))
        from tasks.service.recovery import restart_interrupted

        for name in restart_interrupted(WORK_POOL):
            say(f"{name} was interrupted by a crash and is started again")
        self._launch(self._worker())
        self._announce()

    def _check(self) -> None:
        _check_free(self.host, self.port, "--host or --port")
        if self.mlflow:
            _check_free(tracking_ui.HOST, int(self.mlflow.rpartition(":")[2]), "--mlflow-port")
        if self.mlflow and self.paths.tracking_uri.startswith("http"):
            where = without_password(self.paths.tracking_uri)
            raise ConfigError(f"MLFLOW_TRACKING_URI names a server, {where}: its UI is there; leave out --mlflow")

    def _server(self) -> Part:
        address = ["--host", self.host, "--port", str(self.port)]
        locked = {name: os.environ.get(name, value) for name, value in LOCKED.items()}
        environment = without_other_secrets(os.environ, "PREFECT_") | locked
        return Part(
            "server",
            [sys.executable, "-m", "prefect", "server", "start", *address],
            environment | {SERVER_KEY: self._key},
        )

    def _worker(self) -> Part:
        worker = ["--pool", WORK_POOL, "--type", "process", "--name", "kdgat", "--install-policy", "never"]
        return Part("worker", [sys.executable, "-m", "prefect", "worker", "start", *worker], dict(os.environ))

    def _tracking_ui(self) -> Part:
        port = (self.mlflow or "").rpartition(":")[2]
        environment = without_other_secrets(os.environ, "MLFLOW_") | {tracking_ui.KEY: self._key}
        return Part("mlflow", [sys.executable, "-m", "tasks.service.tracking_ui", port], environment)

    def _announce(self) -> None:
        interface = self.api.removesuffix("/api")
        names = [f"{_flow_name(entry['entrypoint'])}/{entry['name']}" for entry in deployments()]
        key = key_file(self.paths.root) if self.own_key else SERVER_KEY
        say(f"UI           {interface}/dashboard\nAPI          {self.api}\nstate, logs  {self.paths.root / 'prefect'}")
        if self.mlflow:
            say(f"MLflow's UI  {self.mlflow}")
        say(f'key          in {key}; browsers ask for it, shells get it by: eval "$(kdgat serve --print-env)"')
        say(f"deployments  {', '.join(names)}")
        say("ready; Ctrl-C stops all of it")

    def _launch(self, part: Part) -> None:
        with (self.logs / f"{part.name}.log").open("ab") as log:
            # A session of its own: Ctrl-C is for us, who then stop the parts in order.
            self._processes[part.name] = subprocess.Popen(
                part.command,
                stdout=log,
                stderr=log,
                env=part.environment,
                cwd=CHECKOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  this process has no other threads
            )

    def _watch(self) -> None:
        parts = {"server": self._server, "mlflow": self._tracking_ui, "worker": self._worker}
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

    def _await_part(self, name: str, address: str) -> None:
        deadline = time.monotonic() + START_S
        while not answers(address) and not self._stopping:
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                log = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
                raise KdgatError(f"the {name} of the service does not start:\n" + "\n".join(log))
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
        """The worker first, with the runs that it started; then the servers, to which they report their end."""
        for name in ("worker", "mlflow", "server"):
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


def say(text: str) -> None:
    """Print for whoever started the service."""
    print(text, flush=True)


def _check_free(host: str, port: int, option: str) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error}; choose another {option}") from error


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

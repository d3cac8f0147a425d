"""Who is let in by `kdgat serve`: one service for all tests here, without SLURM and browser."""

import asyncio
import json
import os
import socket
import subprocess
import sys

import httpx
import psutil
import pytest
import websockets
from prefect.client.orchestration import PrefectClient
from prefect.workers.process import ProcessJobConfiguration
from sandbox import free_ports
from served import Service, leftovers

from config.paths import CHECKOUT

pytestmark = pytest.mark.timeout(3600)  # guards against hanging; the machine may be slow
OVERRIDES = {
    "command": "touch {mark}",
    "env": {"KDGAT_ROOT": "/elsewhere"},
    "env.KDGAT_ROOT": "/elsewhere",
    "working_dir": "/",
    "image": "theirs",
    "stream_output": True,
}
PASSWORD = "pass-of-mlflow"
FOREIGN = {"Origin": "http://evil.example"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("service"), "--mlflow")
    service.start(MLFLOW_TRACKING_PASSWORD=PASSWORD)
    yield service
    service.stop()
    assert not leftovers(service.root), "no orphans"


def code(address, method="GET", **options):
    return httpx.request(method, address, timeout=60, **options).status_code


@pytest.mark.parametrize("auth", [None, ("kdgat", ""), ("kdgat", "guessed"), ("admin", "pass")])
def test_without_the_key_nothing_is_read_and_nothing_is_done(service, auth):
    assert code(f"{service.url}/api/admin/settings", auth=auth) == 401
    assert code(f"{service.url}/api/csrf-token", auth=auth, params={"client": "x"}) == 401
    headers = {name: service.client.headers[name] for name in ("Prefect-Csrf-Token", "Prefect-Csrf-Client")}
    assert code(f"{service.url}/api/deployments/filter", "POST", auth=auth, json={}, headers=headers) == 401
    assert service.client.post("/deployments/filter", json={}).status_code == 200


@pytest.mark.parametrize("key", [None, "kdgat:guessed"])
@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out"])
def test_no_socket_is_opened_without_the_key(service, path, key):
    async def answer():
        address = f"{service.url}/api/{path}".replace("http", "ws")
        async with websockets.connect(address, subprotocols=[websockets.Subprotocol("prefect")]) as socket:
            await socket.send(json.dumps({"type": "auth", "token": key}))
            return json.loads(await socket.recv())

    with pytest.raises(websockets.ConnectionClosed, match="token"):
        asyncio.run(answer())


def test_a_page_of_another_origin_can_neither_read_nor_write(service):
    auth = tuple(service.key.split(":"))  # even if the browser sent it along
    read = httpx.get(f"{service.url}/api/admin/version", headers=FOREIGN, auth=auth)
    assert "access-control-allow-origin" not in read.headers, "the browser keeps the answer from the page"
    asked = {**FOREIGN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert code(f"{service.url}/api/flows/", "OPTIONS", headers=asked) == 400
    assert code(f"{service.url}/api/flows/", "POST", headers=FOREIGN, auth=auth, json={"name": "theirs"}) == 403
    assert service.post("flows/count", flows={"name": {"any_": ["theirs"]}}) == 0


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_run_that_sets_more_than_its_parameters_is_refused(service, name):
    deployment = service.deployment("ingest-dataset/local")
    before = service.post("flow_runs/count")
    body = {"job_variables": {name: OVERRIDES[name]}}
    refused = service.client.post(f"/deployments/{deployment['id']}/create_flow_run", json=body)
    assert refused.status_code == 422
    assert f"'{name}' was unexpected" in refused.text
    assert service.post("flow_runs/count") == before


def test_what_prefect_does_not_check_has_no_effect(service, tmp_path):
    """An update of a deployment, and a run that is put into the pool directly, are accepted whatever they ask for."""
    deployment = service.deployment("ingest-dataset/local")
    mark = tmp_path / "mark"
    asked = {**OVERRIDES, "command": f"touch {mark}", "working_dir": str(tmp_path)}
    address = f"/deployments/{deployment['id']}"
    assert service.client.patch(address, json={"job_variables": asked}).is_success
    body = {"flow_id": deployment["flow_id"], "deployment_id": deployment["id"], "parameters": {"dataset": "demo"}}
    try:
        made = service.post("flow_runs/", **body, work_pool_name="kdgat", job_variables=asked, state={"type": "SCHEDULED"})
        service.ends(made["id"], "COMPLETED")
    finally:
        assert service.client.patch(address, json={"job_variables": {}}).is_success
    assert not mark.exists()
    assert list(service.root.glob("demo/raw/simulated.json")), "it ran below the root of the service"


def test_the_worker_takes_nothing_from_a_run():
    template = json.loads((CHECKOUT / "deployments" / "work_pool.json").read_text())
    client = PrefectClient("http://127.0.0.1:1/api")  # asked for nothing: the template names no block and no variable
    made = asyncio.run(ProcessJobConfiguration.from_template_and_values(template, dict(OVERRIDES), client=client))
    assert (made.command, made.env, made.working_dir, made.stream_output) == (None, {}, None, False)


def test_a_shell_gets_what_it_needs_and_starts_a_run(service):
    identifier = service.start_run("ingest-dataset/local", dataset="demo")
    service.ends(identifier, "COMPLETED")
    refused = service.submit("ingest-dataset/local", "--job-variable", "command=touch /tmp/mark", dataset="demo")
    assert refused.returncode != 0
    assert "'command' was unexpected" in " ".join(refused.stdout.split())


def kdgat(*arguments, **environment):
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment)


def test_print_env_says_when_no_service_runs(service, tmp_path):
    done = kdgat("serve", "--print-env", "--root", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no `kdgat serve` runs below" in done.stderr
    # As after a kill -9: the file is there, the process is not, and somebody else may answer at that address.
    (tmp_path / "prefect").mkdir()
    stale = json.loads((service.root / "prefect" / "service.json").read_text()) | {"started": 1.0}
    (tmp_path / "prefect" / "service.json").write_text(json.dumps(stale))
    assert kdgat("serve", "--print-env", "--root", str(tmp_path)).returncode == 1


def prepared(root, **environment):
    """What `kdgat` gives Prefect's client, by the environment of the user."""
    script = (
        "import os, pathlib, sys\nfrom flows.cli.options import prepare\nprepare(pathlib.Path(sys.argv[1]))\n"
        "print(os.environ.get('PREFECT_API_URL'), os.environ.get('PREFECT_API_AUTH_STRING'))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", script, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=clean | environment)
    return done.stdout.split()


def test_a_command_joins_the_service_of_its_root_and_the_key_goes_to_no_other(service, tmp_path):
    ours, theirs = f"{service.url}/api", "http://theirs.example/api"
    assert prepared(service.root) == [ours, service.key]
    assert prepared(service.root, PREFECT_API_URL=ours) == [ours, service.key]
    assert prepared(service.root, PREFECT_API_URL=theirs) == [theirs, "None"]
    assert prepared(service.root, PREFECT_API_URL=theirs, PREFECT_API_AUTH_STRING="a:b") == [theirs, "a:b"]
    assert prepared(tmp_path) == ["None", "None"]


def test_the_key_is_in_no_command_line_and_in_no_file_but_its_own(service):
    secret = service.key.removeprefix("kdgat:")
    for process in leftovers(service.root):
        try:
            assert secret not in " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
    files = [file for file in service.root.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    assert files == [service.root / "access" / "key"]


def test_servers_have_only_the_secrets_that_they_need(service):
    """The service was started with them all; see the fixture."""
    environments = {name: psutil.Process(service.pid_of(name)).environ() for name in ("server", "worker")}
    assert environments["worker"]["PREFECT_API_AUTH_STRING"] == service.key
    assert "PREFECT_SERVER_API_AUTH_STRING" not in environments["worker"]
    assert "MLFLOW_TRACKING_PASSWORD" not in environments["server"]
    assert environments["worker"]["MLFLOW_TRACKING_PASSWORD"] == PASSWORD


SEARCH = "/api/2.0/mlflow/experiments/search"


def test_the_ui_of_mlflow_answers_who_has_the_key(service):
    auth = tuple(service.key.split(":"))
    page = httpx.get(service.mlflow, auth=auth)
    assert "<title>MLflow</title>" in page.text
    found = httpx.post(service.mlflow + SEARCH, auth=auth, json={"max_results": 10}, timeout=60).json()
    assert "Default" in {experiment["name"] for experiment in found["experiments"]}


@pytest.mark.parametrize("auth", [None, ("kdgat", "guessed"), ("admin", "password1234")])
@pytest.mark.parametrize("path", ["/", SEARCH, "/ajax-api/2.0/mlflow/experiments/search", "/version", "/static-files/x"])
def test_the_ui_of_mlflow_refuses_who_has_not(service, path, auth):
    assert code(service.mlflow + path, auth=auth) == 401
    assert code(service.mlflow + path, "POST", auth=auth, json={}) == 401


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"},
    ],
)
def test_the_ui_of_mlflow_refuses_what_other_pages_ask_for_though_the_browser_sends_the_key(service, headers):
    auth = tuple(service.key.split(":"))
    assert code(service.mlflow + "/", auth=auth, headers=headers) == 403
    assert code(service.mlflow + SEARCH, "POST", auth=auth, headers=headers, json={"max_results": 1}) == 403


def test_links_to_mlflow_may_be_followed_and_its_own_pages_work(service):
    auth = tuple(service.key.split(":"))
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert code(service.mlflow + "/", auth=auth, headers=link) == 200
    own = {"Origin": service.mlflow, "Sec-Fetch-Site": "same-origin"}
    assert code(service.mlflow + SEARCH, "POST", auth=auth, headers=own, json={"max_results": 1}) == 200


@pytest.mark.parametrize(("option", "more"), [("--port", []), ("--mlflow-port", ["--mlflow", "--port", "{free}"])])
def test_a_port_that_is_in_use_is_one_message_before_anything_starts(tmp_path, option, more):
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        more = [word.format(free=free) for word in more]
        done = kdgat("serve", "--root", str(tmp_path), *more, option, str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(option)
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert not (tmp_path / "prefect" / "logs").exists()


def test_mlflow_on_a_server_of_its_own_is_not_served(tmp_path):
    done = kdgat("serve", "--mlflow", "--root", str(tmp_path), "--port", "1", MLFLOW_TRACKING_URI="http://me:pw@theirs.example")
    assert done.returncode == 1
    assert "names a server, http://theirs.example: its UI is there" in done.stderr

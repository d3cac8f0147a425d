"""The server that a command starts for itself is as closed as that of `kdgat serve`."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.timeout(3600)  # guards against hanging; the machine may be slow
SCRIPT = """
import json, os, pathlib, sys
from flows.cli.options import prepare
prepare(pathlib.Path(sys.argv[1]))
from tasks.service.running import lock_temporary_server
lock_temporary_server()
found = {"key": os.environ.get("PREFECT_API_AUTH_STRING")}
if sys.argv[2:]:
    import httpx, psutil
    from flows.cli.embedded import _server_of_our_own
    _server_of_our_own().wait()
    (server,) = psutil.Process().children()
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        made = client.create_flow_from_name("ours")
        address = str(client.api_url).rstrip("/")
        ask = lambda method, path, **more: httpx.request(method, address + path, timeout=60, **more).status_code
        auth = tuple(found["key"].split(":"))
        foreign = {"Origin": "http://evil.example"}
        found |= {
            "secrets of others": "MLFLOW_TRACKING_PASSWORD" in server.environ(),
            "without": ask("GET", f"/flows/{made}"),
            "wrong": ask("GET", f"/flows/{made}", auth=("kdgat", "guessed")),
            "right": ask("GET", f"/flows/{made}", auth=auth),
            "foreign": ask("POST", "/flows/", json={"name": "theirs"}, auth=auth, headers=foreign),
            "server": server.pid,
        }
print(json.dumps(found), flush=True)
if sys.argv[2:]:
    os.kill(os.getpid(), 9)
"""


def locked(root, *start, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", SCRIPT, str(root), *start]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False, env=clean | environment)
    assert done.returncode == (-signal.SIGKILL if start else 0), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_temporary_server_asks_for_the_key_of_the_root_and_dies_with_a_command_that_is_killed(tmp_path):
    found = locked(tmp_path, "start", MLFLOW_TRACKING_PASSWORD="secret")
    assert found.pop("key") == (tmp_path / "access" / "key").read_text().strip()
    server, deadline = found.pop("server"), time.monotonic() + 120
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server outlives its command"
        time.sleep(0.1)
    assert found == {"secrets of others": False, "without": 401, "wrong": 401, "right": 200, "foreign": 403}


def test_a_key_that_the_user_has_set_stays(tmp_path):
    assert locked(tmp_path, PREFECT_SERVER_API_AUTH_STRING="me:mine") == {"key": "me:mine"}
    assert not (tmp_path / "access").exists()


def test_the_key_is_not_given_to_a_server_that_a_profile_of_prefect_names(tmp_path):
    (tmp_path / "prefect").mkdir()
    profile = 'active = "theirs"\n[profiles.theirs]\nPREFECT_API_URL = "http://theirs.example/api"\n'
    (tmp_path / "prefect" / "profiles.toml").write_text(profile)
    assert locked(tmp_path) == {"key": None}

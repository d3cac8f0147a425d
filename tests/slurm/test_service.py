"""`kdgat serve` with a real Prefect server, worker, SLURM and browser."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from conftest import TINY
from conftest_slurm import GPU, STAGES, run_here, write_profile
from sandbox import free_ports

from config.catalog import catalog
from config.paths import CHECKOUT
from kdgat_models.runs.store import RunStore

SCREENSHOTS = CHECKOUT / "docs" / "screenshots"


class Service:
    """A `kdgat serve` in a process of its own, and Prefect's API."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.root / "serve.log").open("ab")
        command = [sys.executable, "-m", "flows.cli", "serve", "--root", str(self.root), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        log.close()
        written = self.text().count("ready;")
        await_that(lambda: self.text().count("ready;") > written, "the service is ready", 180, self.text)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(90)

    def text(self) -> str:
        return (self.root / "serve.log").read_text()

    def post(self, path: str, **body):
        answer = httpx.post(f"{self.url}/api/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def deployment(self, name: str) -> dict:
        return httpx.get(f"{self.url}/api/deployments/name/{name}", timeout=30).raise_for_status().json()

    def run(self, identifier: str) -> dict:
        return httpx.get(f"{self.url}/api/flow_runs/{identifier}", timeout=30).raise_for_status().json()

    def submit(self, deployment: str, **parameters) -> subprocess.CompletedProcess[str]:
        """`prefect deployment run`, as from a shell."""
        pairs = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]
        environment = os.environ | {"PREFECT_API_URL": f"{self.url}/api", "PREFECT_HOME": str(self.root / "shell")}
        command = [sys.executable, "-m", "prefect", "deployment", "run", deployment, *pairs]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)

    def start_run(self, deployment: str, **parameters) -> str:
        done = self.submit(deployment, **parameters)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("UUID: ")[2].split()[0]

    def rows_since(self, count: int, stage: str) -> bool:
        """Whether `stage` has started since there were `count` attempts."""
        return any(row["stage"] == stage for row in self.rows()[count:])

    def ends(self, identifier: str, state: str, seconds: float = 240) -> dict:
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
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # a zombie has no command line
                found += [child] if {part, "start"} <= set(child.cmdline()) else []
        return max(found, key=lambda child: child.create_time()).pid


def await_that(condition, what, seconds=120.0, log=lambda: ""):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{log()}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def service(slurm, tmp_path_factory):
    root = tmp_path_factory.mktemp("service")
    write_profile(root, "cpu", partition="cpu")
    write_profile(root, "gpu", **GPU)
    service = Service(root)
    service.start()
    yield service
    service.stop()
    assert not leftovers(root), "no orphans"


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


def listening(root: Path) -> set[str]:
    """Addresses on which processes of the service listen."""
    addresses = set()
    for process in leftovers(root):
        with suppress(psutil.Error):
            addresses |= {item.laddr.ip for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN}
    return addresses


@pytest.fixture
def tiny(data):
    """Parameters of a run that takes a minute."""
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in TINY.items()}
    return {"dataset": "demo", "data_dir": str(data), "variants": ["large"], "overrides": settings}


def test_all_deployments_are_there_and_the_nightly_is_scheduled(service):
    entries = yaml.safe_load((CHECKOUT / "deployments" / "prefect.yaml").read_text())["deployments"]
    deployed = {(row["entrypoint"], row["name"]) for row in service.post("deployments/filter")}
    assert deployed == {(entry["entrypoint"], entry["name"]) for entry in entries}
    nightly = service.deployment("nightly-reevaluation/local")

    def scheduled():
        runs = service.post("flow_runs/filter", deployments={"id": {"any_": [nightly["id"]]}})
        return [run["expected_start_time"] for run in runs if run["state_type"] == "SCHEDULED"]

    await_that(scheduled, "a scheduled run appears")
    assert all(time_.partition("T")[2].startswith("02:00:00") for time_ in scheduled())


def test_a_wrong_value_is_refused_before_a_run_exists(service):
    ours = {"flows": {"name": {"any_": ["train-pipeline"]}}}  # the nightly is being scheduled meanwhile
    before = len(service.post("flow_runs/filter", **ours))
    for wrong, said in (({"dataset": "demoo"}, "'demoo' is not one of"), ({"variants": ["huge"]}, "'huge' is not one of")):
        refused = service.submit("train-pipeline/local", **wrong)
        assert refused.returncode != 0
        assert said in " ".join((refused.stdout + refused.stderr).split())
    assert len(service.post("flow_runs/filter", **ours)) == before


def test_a_missing_teacher_or_dataset_fails_before_a_job_is_queued(service, slurm):
    first = service.start_run("train-pipeline/slurm", runner="slurm:gpu", dataset="hcrl_sa", variants=["small_kd"])
    second = service.start_run("train-pipeline/slurm", runner="slurm:gpu", dataset="hcrl_sa", variants=["large"])
    assert "no teacher for vgae" in service.ends(first, "FAILED")["state"]["message"]
    assert "say where it lies with" in service.ends(second, "FAILED")["state"]["message"]
    assert not service.rows()
    assert not slurm.queue()


def test_a_run_on_slurm_that_is_cancelled_from_the_api_takes_its_jobs_with_it(service, slurm, tiny):
    identifier = service.start_run("train-pipeline/slurm", **tiny, runner="slurm:gpu")
    await_that(lambda: any(job[2] == "gpu" and job[1] == "RUNNING" for job in slurm.queue()), "a job runs", 240, service.logs)
    assert listening(service.root) == {"127.0.0.1"}, "server, schedulers and workers are closed to other machines"
    state = {"type": "CANCELLING", "name": "Cancelling"}
    service.post(f"flow_runs/{identifier}/set_state", state=state)
    service.ends(identifier, "CANCELLED", 90)
    slurm.until(lambda: not slurm.queue(), "the jobs are gone", 30)


def test_killed_worker_and_server_are_started_again_and_the_run_ends_with_the_metrics_of_an_undisturbed_one(
    service, tiny, undisturbed_tiny
):
    before = len(service.rows())
    identifier = service.start_run("train-pipeline/local", **tiny, as_champions=True)
    await_that(lambda: service.rows_since(before, "autoencoder"), "it trains", 240, service.logs)
    for pid in (service.pid_of("worker"), service.pid_of("server")):
        os.kill(pid, signal.SIGKILL)
    service.ends(identifier, "COMPLETED", 300)
    folder = max(service.root.glob("demo/dqn_large_evaluation/*/metrics.json"))
    assert json.loads(folder.read_text())["rows"] == undisturbed_tiny
    completed = [row["stage"] for row in service.rows() if row["status"] == "completed"]
    assert sorted(completed) == sorted(STAGES), "what the cancelled run had finished was cached"


@pytest.fixture(scope="module")
def undisturbed_tiny(data, tmp_path_factory):
    return run_here(tmp_path_factory.mktemp("undisturbed"), data, TINY)


def test_a_schedule_fires_the_nightly(service):
    nightly = service.deployment("nightly-reevaluation/local")
    schedules = f"{service.url}/api/deployments/{nightly['id']}/schedules"
    each_minute = [{"schedule": {"interval": 60}, "active": True}]
    (made,) = httpx.post(schedules, json=each_minute, timeout=30).raise_for_status().json()

    def ended():
        runs = service.post("flow_runs/filter", deployments={"id": {"any_": [nightly["id"]]}})
        return [run for run in runs if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]

    await_that(ended, "the nightly has run", 240, service.logs)
    httpx.delete(f"{schedules}/{made['id']}", timeout=30).raise_for_status()
    assert ended()[0]["state_type"] == "COMPLETED", ended()[0]["state"]
    assert ended()[0]["auto_scheduled"]
    nights = RunStore(service.root / "store").query("select distinct champion, dataset from nights")
    assert nights == [{"champion": "demo/large", "dataset": "demo"}]
    artifacts = {artifact["key"] for artifact in service.post("artifacts/filter")}
    assert {"nightly-reevaluation", "nightly-summary"} <= artifacts


def test_after_a_reboot_interrupted_runs_go_on(service, slurm, tiny):
    settings = {**tiny["overrides"], "seed": 7}
    before = len(service.rows())
    identifier = service.start_run("train-pipeline/slurm", **{**tiny, "overrides": settings}, runner="slurm:gpu")
    await_that(lambda: service.rows_since(before, "balanced"), "it trains", 240, service.logs)
    service.process.kill()  # as a login node that reboots: everything at once, but for the jobs, which are on other nodes
    for process in leftovers(service.root):
        with suppress(psutil.Error):
            if "SLURM_JOB_ID" not in process.environ():
                process.kill()
    service.process.wait()
    service.start()
    assert "is started again" in service.text()
    service.ends(identifier, "COMPLETED", 300)
    completed = [row["stage"] for row in service.rows()[before:] if row["status"] == "completed"]
    assert sorted(completed) == sorted(STAGES[2:]), "captures and graphs were cached, and no stage ran twice"


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service as Driver

    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1100"):
        options.add_argument(option)
    options.binary_location = "/usr/bin/chromium"
    driver = webdriver.Chrome(options, Driver("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def seen(browser, text, seconds=60.0):
    await_that(lambda: text in browser.find_element("tag name", "body").text, f"{text!r} is on the page", seconds)


def test_the_form_of_a_deployment_shows_choices_and_explains_itself(service, browser):
    deployment = service.deployment("train-pipeline/local")
    browser.get(f"{service.url}/deployments/deployment/{deployment['id']}/run")
    for text in ("Name in the catalogue", "Teachers, students distilled from them", "Memory that stages ask for"):
        seen(browser, text)
    assert options(browser, "hcrl_sa") == list(catalog())
    assert {"local", "slurm", "slurm:gpu", "slurm:v100"} <= set(options(browser, "slurm:gpu"))
    screenshot(browser, "form")


def test_a_run_that_is_submitted_in_the_form_does_the_real_thing(service, browser):
    deployment = service.deployment("ingest-dataset/local")
    browser.get(f"{service.url}/deployments/deployment/{deployment['id']}/run")
    seen(browser, "Name in the catalogue")
    browser.find_element("xpath", "//button[normalize-space()='Submit']").click()

    def submitted():
        return service.post("flow_runs/filter", deployments={"id": {"any_": [deployment["id"]]}})

    await_that(submitted, "a run exists", 60, service.logs)
    run = service.ends(submitted()[0]["id"], "COMPLETED")
    assert run["parameters"]["dataset"] == "demo"
    assert list(service.root.glob("demo/raw/simulated.json"))


def options(browser, one):
    """All choices of the drop-down that has `one` among them."""
    found = browser.find_element("xpath", f"//select[option[@value='{one}']]").find_elements("tag name", "option")
    return [option.get_attribute("value") for option in found]


def test_the_page_of_a_run_shows_its_stages(service, browser):
    runs = service.post("flow_runs/filter", flows={"name": {"any_": ["train-pipeline"]}})
    run = next(run for run in runs if run["state_type"] == "COMPLETED")
    browser.get(f"{service.url}/runs/flow-run/{run['id']}")
    seen(browser, "Completed")
    tasks = service.post("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    for stage in ("ingest demo", "graphs demo", "vgae large", "gat large", "fusion large", "evaluate large on demo"):
        assert stage in {task["name"] for task in tasks}
    time.sleep(5)  # the graph is drawn on a canvas
    screenshot(browser, "run")
    assert browser.find_elements("css selector", "canvas"), "the graph"


def screenshot(browser, name):
    """Keep the picture where the README finds it, if asked to; it is checked in every run."""
    folder = SCREENSHOTS if os.environ.get("KDGAT_SCREENSHOTS") else Path(os.environ.get("PYTEST_TMP", "/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    assert browser.save_screenshot(str(file))
    assert file.stat().st_size > 20_000

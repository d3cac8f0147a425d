"""`kdgat serve` with a real Prefect server, worker, SLURM and browser."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import TINY
from conftest_slurm import GPU, STAGES, run_here, write_profile
from served import Service, answer, await_that, leftovers

from config.catalog import catalog
from config.paths import CHECKOUT
from kdgat_models.runs.store import RunStore

pytestmark = pytest.mark.timeout(3600)  # guards against hanging; the machine may be slow
SCREENSHOTS = CHECKOUT / "docs" / "screenshots"


@pytest.fixture(scope="module")
def service(slurm, tmp_path_factory):
    root = tmp_path_factory.mktemp("service")
    write_profile(root, "cpu", partition="cpu")
    write_profile(root, "gpu", **GPU)
    service = Service(root, "--mlflow")
    service.start()
    yield service
    service.stop()
    assert not leftovers(root), "no orphans"


def listening(root: Path) -> set[tuple[str, int]]:
    """Addresses and ports on which processes of the service listen."""
    found = set()
    for process in leftovers(root):
        with suppress(psutil.Error):
            found |= {item.laddr for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN}
    return {(address.ip, address.port) for address in found}


@pytest.fixture
def tiny(data):
    """Parameters of a run that takes a minute."""
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in TINY.items()}
    return {"dataset": "demo", "data_dir": str(data), "variants": ["large"], "overrides": settings}


def with_seed(parameters, seed):
    """The same run with a seed of its own: whatever earlier runs came to, it has models to train."""
    return {**parameters, "overrides": {**parameters["overrides"], "seed": seed}}


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
    await_that(lambda: any(job[2] == "gpu" and job[1] == "RUNNING" for job in slurm.queue()), "a job runs", 1200, service.logs)
    heard = listening(service.root)
    assert {address for address, _ in heard} == {"127.0.0.1"}, "server, schedulers and workers are closed to other machines"
    talking = {port for _, port in heard if b"HTTP" in answer(port)}
    assert talking == {service.port, service.mlflow_port}, "Dask's schedulers and workers answer nobody"
    state = {"type": "CANCELLING", "name": "Cancelling"}
    service.post(f"flow_runs/{identifier}/set_state", state=state)
    service.ends(identifier, "CANCELLED", 300)
    slurm.until(lambda: not slurm.queue(), "the jobs are gone", 30)


def test_killed_worker_and_server_are_started_again_and_the_run_ends_with_the_metrics_of_an_undisturbed_one(
    service, tiny, undisturbed_tiny
):
    before = len(service.rows())
    identifier = service.start_run("train-pipeline/local", **with_seed(tiny, 3), as_champions=True)
    await_that(lambda: service.rows_since(before, "autoencoder"), "it trains", 1200, service.logs)
    for pid in (service.pid_of("worker"), service.pid_of("server")):
        os.kill(pid, signal.SIGKILL)
    service.ends(identifier, "COMPLETED", 1200)
    folder = max(service.root.glob("demo/fusion_large_evaluation/*/metrics.json"))
    assert json.loads(folder.read_text())["rows"] == undisturbed_tiny
    completed = [row["stage"] for row in service.rows()[before:] if row["status"] == "completed"]
    assert sorted(completed) == sorted(STAGES[2:]), "captures and graphs were cached, and no stage ran twice"


@pytest.fixture(scope="module")
def undisturbed_tiny(data, tmp_path_factory):
    return run_here(tmp_path_factory.mktemp("undisturbed"), data, {**TINY, "seed": 3})


def test_a_schedule_fires_the_nightly(service):
    nightly = service.deployment("nightly-reevaluation/local")
    schedules = f"/deployments/{nightly['id']}/schedules"
    each_minute = [{"schedule": {"interval": 60}, "active": True}]
    (made,) = service.client.post(schedules, json=each_minute).raise_for_status().json()

    def ended():
        runs = service.post("flow_runs/filter", deployments={"id": {"any_": [nightly["id"]]}})
        return [run for run in runs if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]

    await_that(ended, "the nightly has run", 1200, service.logs)
    service.client.delete(f"{schedules}/{made['id']}").raise_for_status()
    assert ended()[0]["state_type"] == "COMPLETED", ended()[0]["state"]
    assert ended()[0]["auto_scheduled"]
    nights = RunStore(service.root / "store").query("select distinct champion, dataset from nights")
    assert nights == [{"champion": "demo/large", "dataset": "demo"}]
    artifacts = {artifact["key"] for artifact in service.post("artifacts/filter")}
    assert {"nightly-reevaluation", "nightly-summary"} <= artifacts


def test_after_a_reboot_interrupted_runs_go_on(service, slurm, tiny):
    before = len(service.rows())
    identifier = service.start_run("train-pipeline/slurm", **with_seed(tiny, 7), runner="slurm:gpu")
    await_that(lambda: service.rows_since(before, "balanced"), "it trains", 1200, service.logs)
    service.process.kill()  # as a login node that reboots: everything at once, but for the jobs, which are on other nodes
    for process in leftovers(service.root):
        with suppress(psutil.Error):
            if "SLURM_JOB_ID" not in process.environ():
                process.kill()
    service.process.wait()
    service.start()
    assert "is started again" in service.text()
    service.ends(identifier, "COMPLETED", 1200)
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


def log_in(browser, service, key):
    browser.get(f"{service.url}/login")
    await_that(lambda: browser.find_elements("css selector", "input[type=password]"), "the key is asked for")
    browser.find_element("css selector", "input[type=password]").send_keys(f"{key}\n")


@pytest.fixture
def logged_in(browser, service):
    """The browser of somebody who has the key."""
    log_in(browser, service, service.key)
    await_that(lambda: browser.current_url.endswith("/dashboard"), "the browser is let in")
    return browser


def test_the_ui_shows_nothing_to_who_has_no_key(service, browser):
    log_in(browser, service, "kdgat:guessed")
    seen(browser, "Authentication failed")
    browser.get(f"{service.url}/deployments")
    await_that(lambda: "/login" in browser.current_url, "the key is asked for again")
    assert "train-pipeline" not in browser.find_element("tag name", "body").text


def test_the_ui_of_mlflow_opens_with_the_key(service, browser):
    browser.get(service.mlflow.replace("//", f"//{service.key}@"))
    seen(browser, "Experiments")


def seen(browser, text, seconds=300.0):
    await_that(lambda: text in browser.find_element("tag name", "body").text, f"{text!r} is on the page", seconds)


def test_the_form_of_a_deployment_shows_choices_and_explains_itself(service, logged_in):
    deployment = service.deployment("train-pipeline/local")
    logged_in.get(f"{service.url}/deployments/deployment/{deployment['id']}/run")
    for text in ("Name in the catalogue", "Teachers, students distilled from them", "Memory that stages ask for"):
        seen(logged_in, text)
    assert options(logged_in, "hcrl_sa") == list(catalog())
    assert {"local", "slurm", "slurm:gpu", "slurm:v100"} <= set(options(logged_in, "slurm:gpu"))
    screenshot(logged_in, "form")


def test_a_run_that_is_submitted_in_the_form_does_the_real_thing(service, logged_in):
    deployment = service.deployment("ingest-dataset/local")
    logged_in.get(f"{service.url}/deployments/deployment/{deployment['id']}/run")
    seen(logged_in, "Name in the catalogue")
    logged_in.find_element("xpath", "//button[normalize-space()='Submit']").click()

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


def test_the_page_of_a_run_shows_its_stages(service, logged_in):
    runs = service.post("flow_runs/filter", flows={"name": {"any_": ["train-pipeline"]}})
    run = next(run for run in runs if run["state_type"] == "COMPLETED")
    logged_in.get(f"{service.url}/runs/flow-run/{run['id']}")
    seen(logged_in, "Completed")
    tasks = service.post("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    for stage in ("ingest demo", "graphs demo", "vgae large", "gat large", "fusion large", "evaluate large on demo"):
        assert stage in {task["name"] for task in tasks}
    deadline = time.monotonic() + 300
    while not logged_in.find_elements("css selector", "canvas"):  # on which the graph is drawn
        assert time.monotonic() < deadline, "there is no graph"
        time.sleep(1)
    time.sleep(5)  # for the picture alone: until it is drawn
    screenshot(logged_in, "run")


def screenshot(browser, name):
    """Keep the picture where docs/usage.md finds it, if asked to; it is checked in every run."""
    folder = SCREENSHOTS if os.environ.get("KDGAT_SCREENSHOTS") else Path(os.environ.get("PYTEST_TMP", "/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    assert browser.save_screenshot(str(file))
    assert file.stat().st_size > 20_000

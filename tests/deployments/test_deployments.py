"""deployments/prefect.yaml: every entry point loads, every form explains itself and offers choices."""

from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from config.catalog import catalog
from config.paths import CHECKOUT

FILE = yaml.safe_load((CHECKOUT / "deployments" / "prefect.yaml").read_text())
ENTRYPOINTS = sorted({entry["entrypoint"] for entry in FILE["deployments"]})


@pytest.fixture(scope="module", params=ENTRYPOINTS)
def flow(request):
    return load_flow_from_entrypoint(request.param, use_placeholder_flow=False)


def test_every_flow_of_ours_is_deployed_locally_and_on_slurm():
    names = {(entry["entrypoint"].partition(":")[0], entry["name"]) for entry in FILE["deployments"]}
    flows = [file for file in (CHECKOUT / "flows").glob("*.py") if "@flow(" in file.read_text()]
    assert names == {(f"flows/{file.name}", runner) for file in flows for runner in ("local", "slurm")}


def test_every_parameter_is_described(flow):
    properties = flow.parameters.model_dump()["properties"]
    assert all(field.get("description") for field in properties.values()), properties


def test_parameters_are_choices_where_there_are_choices(flow):
    schema = flow.parameters.model_dump()
    runners = schema["properties"]["runner"]["enum"]
    assert {"local", "slurm", "slurm:v100"} <= set(runners)
    if "dataset" in schema["properties"]:
        assert schema["properties"]["dataset"]["enum"] == list(catalog())


def test_the_parameters_of_a_deployment_are_those_of_its_flow():
    for entry in FILE["deployments"]:
        flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
        assert set(entry["parameters"]) <= set(flow.parameters.model_dump()["properties"])
        assert entry["concurrency_limit"]["limit"] >= 1
        assert entry["work_pool"]["name"] == "kdgat"


def test_one_nightly_is_scheduled_at_two_with_a_time_zone():
    schedules = [schedule for entry in FILE["deployments"] for schedule in entry.get("schedules", [])]
    (active,) = [schedule for schedule in schedules if schedule["active"]]
    assert active["cron"] == "0 2 * * *"
    assert ZoneInfo(active["timezone"])


def test_the_table_of_deployments_lists_them_all():
    rows = [line for line in (CHECKOUT / "deployments" / "README.md").read_text().splitlines() if line.startswith("| `")]
    listed = {row.split("`")[1].partition("/")[0] for row in rows}
    assert listed == {entry["entrypoint"].partition(":")[2].replace("_", "-") for entry in FILE["deployments"]}

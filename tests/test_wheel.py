"""A wheel holds all that the project needs: installed elsewhere, it resolves, plans and runs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kdgat_models.can.simulate import write_demo

CHECKOUT = Path(__file__).resolve().parents[1]
PARTS = ("config", "deployments", "flows", "kdgat_models", "tasks", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel unpacks to. It is built from a copy, since setuptools writes beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (CHECKOUT / part).is_dir():
            shutil.copytree(CHECKOUT / part, folder / "source" / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / part, folder / "source" / part)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(folder / "source")]
    built = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    [wheel] = folder.glob("kdgat-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def python(installed, tmp_path):
    """A function that runs Python with the installed packages, from a folder that has none, and gives its output."""

    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed), "KDGAT_ROOT": str(tmp_path / "root")}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def test_every_file_that_is_no_code_is_in_the_wheel(installed):
    packages = ("config", "deployments", "flows", "kdgat_models", "tasks")
    kept = {file.relative_to(CHECKOUT) for name in packages for file in (CHECKOUT / name).rglob("*.yaml")}
    kept |= {file.relative_to(CHECKOUT) for kind in ("*.c", "*.kdgat") for file in (CHECKOUT / "kdgat_models").rglob(kind)}
    kept |= {file.relative_to(CHECKOUT) for file in (CHECKOUT / "deployments").glob("*.json")}
    assert [str(file) for file in sorted(kept) if not (installed / file).is_file()] == []


def test_an_installed_wheel_resolves_configs_and_profiles(python, installed):
    where = python("-c", "import config, flows, kdgat_models, tasks; print(config.__file__, flows.__path__[0])")
    assert all(path.startswith(str(installed)) for path in where.split())
    assert len(json.loads(python("-m", "flows.cli", "models", "--json"))["models"]) == 9
    asked = ("run", "--dry-run", "--json", "--set", "method=published", "--runner", "slurm:v100")
    assert json.loads(python("-m", "flows.cli", *asked))["stages"]


def test_an_installed_wheel_runs_stages(python, tmp_path):
    write_demo(tmp_path / "raw", seconds_scale=0.2)
    made = json.loads(python("-m", "flows.cli", "ingest", "--data-dir", str(tmp_path / "raw"), "--json"))
    assert [row["made"] for row in made] == ["captures", "graphs"]
    assert all((Path(row["path"]) / "artifact.json").is_file() for row in made)

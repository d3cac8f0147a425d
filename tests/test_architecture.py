import importlib
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("package", ["config", "kdgat_models", "tasks", "flows"])
def test_each_package_is_imported_from_this_checkout(package):
    assert Path(importlib.import_module(package).__file__ or "").resolve().parent == CHECKOUT / package


def test_library_and_config_import_without_prefect_dask_and_mlflow():
    modules = sorted(
        ".".join(file.relative_to(CHECKOUT).with_suffix("").parts)
        for package in ("config", "kdgat_models")
        for file in (CHECKOUT / package).rglob("*.py")
        if file.name != "__init__.py"
    )
    script = (
        "import sys\n"
        "for name in ('prefect', 'dask', 'distributed', 'dask_jobqueue', 'mlflow', 'typer'):\n"
        "    sys.modules[name] = None\n"
        f"import importlib\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, cwd=CHECKOUT, check=False
    )
    assert result.returncode == 0, result.stderr


def test_flow_files_have_no_classes_and_no_postponed_annotations():
    files = [file for file in (CHECKOUT / "flows").glob("*.py") if "@flow(" in file.read_text()]
    assert len(files) == 6
    for file in files:
        text = file.read_text()
        assert "\nclass " not in text
        assert "from __future__ import annotations" not in text


def test_nothing_is_unpickled_and_nothing_is_asserted_of_users():
    for package in ("config", "kdgat_models", "tasks", "flows"):
        for file in (CHECKOUT / package).rglob("*.py"):
            text = file.read_text()
            assert "torch.load(" not in text, file
            assert "import pickle" not in text, file

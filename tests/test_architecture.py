import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.stages.table import STAGES

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


def nodes_of(*packages):
    """Every node of the syntax trees of all files, with its file and line."""
    for package in packages:
        for file in (CHECKOUT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                yield node, f"{file}:{getattr(node, 'lineno', 0)}"


def unpickles(node):
    """Whether a node is a call that runs what is in a file."""
    if isinstance(node, ast.ImportFrom):
        return node.module in ("pickle", "dill", "joblib") and any("Error" not in alias.name for alias in node.names)
    if isinstance(node, ast.Import):
        return any(alias.name in ("pickle", "dill", "joblib", "shelve", "marshal") for alias in node.names)
    if not isinstance(node, ast.Call):
        return False
    options = {word.arg: ast.unparse(word.value) for word in node.keywords}
    name = ast.unparse(node.func)
    return (name == "torch.load" and options.get("weights_only") != "True") or options.get("allow_pickle") == "True"


def narrows_a_type(test):
    """Whether an assertion only tells the type checker what the code before it made sure of."""
    if isinstance(test, ast.BoolOp):
        return all(narrows_a_type(value) for value in test.values)
    if isinstance(test, ast.Call):
        return ast.unparse(test.func) == "isinstance"
    return isinstance(test, ast.Compare) and ast.unparse(test.comparators[-1]) == "None"


def test_nothing_is_unpickled():
    found = [where for node, where in nodes_of("config", "kdgat_models", "tasks", "flows") if unpickles(node)]
    assert found == []


def test_nothing_is_asserted_of_users():
    """`python -O` leaves assertions out, and theirs is no message: what a user can cause is raised."""
    found = [
        where
        for node, where in nodes_of("config", "kdgat_models", "tasks", "flows")
        if isinstance(node, ast.Assert) and not (narrows_a_type(node.test) and node.msg is None)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
    ],
)
def test_a_line_that_unpickles_would_be_found(line):
    assert any(unpickles(node) for node in ast.walk(ast.parse(line)))


@pytest.mark.parametrize("line", ["assert epochs > 0", "assert name in known", "assert config.valid", "assert files"])
def test_an_assertion_of_what_a_user_gave_would_be_found(line):
    statement = ast.parse(line).body[0]
    assert isinstance(statement, ast.Assert)
    assert not narrows_a_type(statement.test)


def test_no_two_tasks_or_flows_have_one_name():
    literal = [
        ast.literal_eval(word.value)
        for node, _ in nodes_of("tasks", "flows")
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in ("task", "flow")
        for word in decorator.keywords
        if word.arg == "name" and isinstance(word.value, ast.Constant)
    ]
    names = [*literal, *(stage.name for stage in STAGES.values())]
    assert len(names) > 20
    assert sorted(names) == sorted(set(names))


def test_ruff_bounds_the_number_of_parameters(tmp_path):
    """A bound that an ignored rule carries would be dead."""
    (tmp_path / "many.py").write_text("def many(a, b, c, d, e, f, g, h):\n    return a, b, c, d, e, f, g, h\n")
    command = ["ruff", "check", "--no-cache", "--config", str(CHECKOUT / "pyproject.toml"), str(tmp_path / "many.py")]
    result = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert "PLR0913" in result.stdout

"""The notebook under examples/ is run as a reader would run it, and finds what it says it finds."""

import ast
import json
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

from config.paths import CHECKOUT

NOTEBOOK = CHECKOUT / "examples" / "first_look.ipynb"
LIBRARY = {"config", "kdgat_models"}
OUTSIDE = {"tempfile", "warnings", "pathlib", "matplotlib", "numpy", "torch"}
# Run behind the last cell, in the same kernel.
TELL = """
import json, sys

print(json.dumps({
    "attacked": float(np.median(gat_scores[charlie.label == 1])),
    "normal": float(np.median(gat_scores[charlie.label == 0])),
    "threshold": gat_threshold,
    "autoencoder_attacked": float(np.median(vgae_scores[charlie.label == 1])),
    "autoencoder_threshold": vgae_threshold,
    "alarms": [[suspect, sorted(attackers)] for suspect, attackers in alarms],
    "drawings": len(plt.get_fignums()),
    "engine": sorted({"prefect", "dask", "distributed", "mlflow", "tasks", "flows"} & set(sys.modules)),
}))
"""


class Executed(NamedTuple):
    """The notebook after a run: its cells, and what its kernel knew at the end."""

    notebook: nbformat.NotebookNode
    found: dict


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
            (folder / variable).mkdir()
            patch.setenv(variable, str(folder / variable))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(TELL))
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    told = notebook.cells.pop()
    return Executed(notebook, json.loads("".join(output["text"] for output in told["outputs"])))


def code(notebook):
    return [cell["source"] for cell in notebook.cells if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_the_attack_is_above_the_threshold_and_normal_driving_below(executed):
    found = executed.found
    assert found["attacked"] > found["threshold"] > found["normal"]
    assert found["autoencoder_attacked"] > found["autoencoder_threshold"]


@pytest.mark.slow
def test_each_alarm_suspects_who_attacks(executed):
    assert len(executed.found["alarms"]) == 2
    for suspect, attackers in executed.found["alarms"]:
        assert suspect in attackers


@pytest.mark.slow
def test_it_draws_a_graph_and_the_scores_and_says_nothing_on_stderr(executed):
    outputs = [output for cell in executed.notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []


@pytest.mark.slow
def test_the_library_alone_does_it(executed):
    assert executed.found["engine"] == []


def test_it_imports_what_is_public_and_nothing_of_the_engine():
    nodes = [node for cell in code(nbformat.read(NOTEBOOK, as_version=4)) for node in ast.walk(ast.parse(cell))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]
    assert {module.partition(".")[0] for module in modules} <= LIBRARY | OUTSIDE
    names = [alias.name for node in imports for alias in node.names]
    names += [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    assert [name for name in names if name.startswith("_")] == []


def test_it_is_kept_without_outputs():
    """They would be those of an older copy of the code, and hide what changes in it."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []

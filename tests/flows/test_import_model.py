"""Models of older code, from `torch.save` to the leaderboard, by the commands that a user gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from legacy_modules import LegacyGat, LegacyQNetwork, LegacyVgae, older_spelling, randomised

from config.files import load_config
from kdgat_models.can.simulate import write_demo
from kdgat_models.checkpoint import load_checkpoint
from kdgat_models.graphs.dataset import GraphDataset

CONFIGS = {
    "vgae": {"model": "vgae", "vgae_hidden_dims": [16, 8], "vgae_latent_dim": 4, "vgae_heads": 2, "vgae_embedding_dim": 3},
    "gat": {"model": "gat", "gat_hidden": 4, "gat_layers": 2, "gat_heads": 3, "gat_fc_layers": 3, "gat_embedding_dim": 3},
    "fusion": {"model": "fusion", "dqn_hidden": 8, "dqn_layers": 2},
}


def kdgat(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def save(folder: Path, num_ids: int) -> dict[str, list[str]]:
    """State dicts and configs of a trio; the arguments that import each."""
    q, target = (randomised(LegacyQNetwork(), seed) for seed in (2, 3))
    contents = {
        "vgae": randomised(LegacyVgae(num_ids), 0).state_dict(),
        "gat": older_spelling(randomised(LegacyGat(num_ids), 1).state_dict()),
        "fusion": {"q_network": q.state_dict(), "target_network": target.state_dict()},
    }
    for model, content in contents.items():
        torch.save(content, folder / f"{model}.pth")
        flat = {"dataset": "demo", "model_size": "teacher", **CONFIGS[model]}
        (folder / f"{model}.json").write_text(json.dumps(flat))
    return {model: [str(folder / f"{model}.pth"), "--config", str(folder / f"{model}.json")] for model in contents}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A root with graphs of schema reference, and the trio's files."""
    folder = tmp_path_factory.mktemp("import")
    write_demo(folder / "raw", seconds_scale=0.4)
    root = folder / "root"
    made = kdgat(root, "ingest", "--set", "method=published", "--data-dir", str(folder / "raw"), "--json")
    assert made.returncode == 0, made.stderr[-3000:]
    graphs = Path(json.loads(made.stdout)[1]["path"])
    return root, folder / "raw", graphs, save(folder, GraphDataset(graphs).known.num_ids)


def test_an_imported_trio_is_evaluated_and_listed(prepared):
    root, raw, graphs, files = prepared
    early = kdgat(root, "import-model", *files["fusion"])
    assert early.returncode == 1
    assert "not calibrated: a fusion needs the vgae" in early.stderr
    for model in ("vgae", "gat", "fusion"):
        result = kdgat(root, "import-model", *files[model], "--json")
        assert result.returncode == 0, result.stderr[-3000:]
        made = json.loads(result.stdout)
        assert made["graphs"] == str(graphs)
        checkpoint = load_checkpoint(Path(made["path"]), model)
        assert {"f1", "fpr_0.05", "fpr_0.01", "fpr_0.001"} <= set(checkpoint.decision.thresholds)
        assert checkpoint.provenance.imported.file == f"{model}.pth"
        assert load_config(Path(made["path"]) / "config.json") == checkpoint.config
    evaluated = kdgat(root, "evaluate", "--set", "method=published", "--variants", "large", "--data-dir", str(raw), "--json")
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    [report] = json.loads(evaluated.stdout)
    assert {row["model"] for row in report["rows"]} == {"vgae", "gat", "fusion"}
    assert len({row["split"] for row in report["rows"]}) == 6
    assert {row["model"] for row in json.loads(kdgat(root, "leaderboard", "--top", "3", "--json").stdout)} == {
        "vgae",
        "gat",
        "fusion",
    }

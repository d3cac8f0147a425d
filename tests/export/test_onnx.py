"""Exported networks say what PyTorch says, with any number of nodes, edges and windows."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from exported import capture, checkpoint, data_of

from config.plugins import names
from kdgat_models.errors import CheckpointError, UnsupportedError
from kdgat_models.export.graph import export_onnx, export_torch
from kdgat_models.export.onnx import OnnxClassifier, loss, quantise
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import restore

SMALL = {"gat.hidden": 6, "gat.layers": 2, "gat.heads": 3, "gat.embedding_dim": 4}
BATCHES = ([0], [3, 4], list(range(5, 45)), list(range(150)))


@pytest.fixture(scope="module")
def data():
    return data_of(capture())


@pytest.mark.parametrize(
    ("conv", "pool"), [*(("transformer", pool) for pool in names("poolings")), ("gatv2", "mean_max"), ("gat", "mean")]
)
def test_onnx_has_the_logits_of_pytorch(data, tmp_path, conv, pool):
    model = checkpoint(data, **SMALL, **{"gat.conv": conv, "gat.pooling": pool})
    export_onnx(model, tmp_path / "model.onnx")
    exported, network = OnnxClassifier(tmp_path / "model.onnx"), restore(model)
    for windows in BATCHES:
        batch = data.batch(np.array(windows))
        with torch.no_grad():
            expected = classify(network, batch)
        output = exported(batch)
        np.testing.assert_allclose(output.logits, expected.logits, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(output.node_logit, expected.node_logit, atol=1e-4, rtol=1e-4)


def test_onnx_says_what_a_verdict_needs(data, tmp_path):
    model = checkpoint(data, **SMALL)
    export_onnx(model, tmp_path / "model.onnx")
    said = OnnxClassifier(tmp_path / "model.onnx").description
    assert said["schema"] == model.schema
    assert said["decision"] == model.decision.flat()
    assert (said["window_size"], said["stride"], said["vocabulary"], said["buckets"]) == (100, 100, [], 0)


def test_eight_bits_cost_a_little_and_the_cost_is_told(data, tmp_path):
    model = checkpoint(data, "tiny")
    export_onnx(model, tmp_path / "model.onnx")
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * (tmp_path / "model.onnx").stat().st_size
    whole, rounded = OnnxClassifier(tmp_path / "model.onnx"), OnnxClassifier(tmp_path / "int8.onnx")
    assert rounded.description == whole.description
    batches = [data.batch(np.arange(begin, begin + 50)) for begin in range(0, 150, 50)]
    cost = loss(whole, rounded, batches, model.decision.threshold())
    assert cost.windows == 150
    assert 0 < cost.largest_difference < 0.2
    assert cost.changed < 20
    itself = loss(whole, whole, batches, model.decision.threshold())
    assert (itself.changed, itself.largest_difference, itself.f1) == (0, 0.0, itself.f1_other)
    assert itself.f1 == cost.f1


def test_the_program_of_pytorch_opens_without_this_package(data, tmp_path):
    model = checkpoint(data, **SMALL)
    export_torch(model, tmp_path / "model.pt2")
    batch = data.batch(np.arange(7))
    torch.save([*batch[:5], torch.arange(7)], tmp_path / "batch.pt")
    script = (
        "import sys, torch\n"
        "for name in ('kdgat_models', 'torch_geometric', 'config'): sys.modules[name] = None\n"
        f"extra = {{'kdgat.json': ''}}\n"
        f"program = torch.export.load({str(tmp_path / 'model.pt2')!r}, extra_files=extra)\n"
        f"print(extra['kdgat.json'])\n"
        f"logits, nodes = program.module()(*torch.load({str(tmp_path / 'batch.pt')!r}))\n"
        "print(logits.tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    said, logits = done.stdout.strip().splitlines()
    assert json.loads(said)["schema"]["name"] == "relative"
    with torch.no_grad():
        np.testing.assert_allclose(json.loads(logits), classify(restore(model), batch).logits, atol=1e-4)


def test_what_cannot_be_exported_is_refused_with_a_reason(data, tmp_path):
    replaced = checkpoint(data, **SMALL, **{"gat.self_loops": "replace"})
    for export in (export_onnx, export_torch):
        with pytest.raises(UnsupportedError, match="self_loops=add"):
            export(replaced, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x09"])
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.onnx is not a model"):
        OnnxClassifier(tmp_path / "model.onnx")

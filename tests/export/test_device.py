"""The distribution for devices, in an environment of its own that has no PyTorch, gives the verdicts of the library."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from exported import capture, checkpoint, data_of

from config.paths import CHECKOUT
from kdgat_models.export.graph import export_onnx
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import restore

SMALL = {"gat.hidden": 6, "gat.layers": 2, "gat.heads": 3, "gat.embedding_dim": 4}
NEEDED = ("numpy", "onnxruntime")
TOO_MUCH = ("torch", "numba", "prefect", "pyarrow", "torch_geometric", "kdgat_models", "pydantic")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a fresh environment with the wheel, and the packages that it needs linked from here."""
    folder = tmp_path_factory.mktemp("device")
    shutil.copytree(
        CHECKOUT / "deployments" / "device", folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--wheel-dir", str(folder)]
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(folder / "source")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KDGAT_TEMPLATES": str(CHECKOUT / "kdgat_models" / "export" / "templates")},
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    venv.create(folder / "venv", symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "venv" / "lib" / version / "site-packages"
    for name in NEEDED:
        package = Path(importlib.import_module(name).__file__).parent
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (site / part.name).symlink_to(part)
    [wheel] = folder.glob("kdgat_device-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A candump log, the model, and what the library says of it."""
    folder, frames = tmp_path_factory.mktemp("drive"), capture(10.0)
    data = data_of(frames)
    model = checkpoint(data, **SMALL)
    export_onnx(model, folder / "model.onnx")
    columns = zip(frames.timestamp.tolist(), frames.arbitration_id, frames.dlc, frames.payload, strict=True)
    lines = [f"({1.7e9 + time:.6f}) can0 {i:03X}#{bytes(data[:dlc]).hex().upper()}" for time, i, dlc, data in columns]
    (folder / "drive.log").write_text("\n".join(lines) + "\n")
    with torch.no_grad():
        logits = classify(restore(model), data.batch(np.arange(len(data.store)))).logits.numpy()
    return folder, logits[:, 1] - logits[:, 0], model.decision.threshold()


def ran(python, *arguments, **options):
    return subprocess.run([python, "-I", *arguments], capture_output=True, text=True, check=False, **options)


def test_nothing_but_numpy_and_onnxruntime_is_there(python):
    script = f"import importlib.util as u; print([n for n in {TOO_MUCH!r} if u.find_spec(n)])"
    assert ran(python, "-c", script).stdout == "[]\n"
    loaded = ran(python, "-c", "import sys, kdgat_device; print('onnxruntime' in sys.modules, 'numpy' in sys.modules)")
    assert loaded.stdout == "False True\n", loaded.stderr


def test_scores_are_those_of_pytorch(python, drive):
    folder, expected, _ = drive
    script = (
        "import json, sys\n"
        "from kdgat_device import Detector\n"
        "from kdgat_device.command import frames\n"
        "detector = Detector(sys.argv[1])\n"
        "verdicts = [detector.push(*frame) for frame in frames(open(sys.argv[2]))]\n"
        "print(json.dumps([verdict.score for verdict in verdicts if verdict]))\n"
    )
    done = ran(python, "-c", script, folder / "model.onnx", folder / "drive.log")
    assert done.returncode == 0, done.stderr
    # A log of whole microseconds far from the first second: the clock of the features is the difference of two large numbers.
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=5e-3)


def test_the_command_says_which_windows_are_attacks(python, drive):
    folder, expected, threshold = drive
    log = (folder / "drive.log").read_text()
    done = ran(python, "-m", "kdgat_device.command", folder / "model.onnx", input=log)
    assert done.returncode == 1, done.stderr
    assert abs(len(done.stdout.splitlines()) - (expected >= threshold).sum()) <= 1
    assert "suspect" in done.stdout


def test_lines_that_are_no_frames_are_counted_and_a_wrong_model_is_refused(python, drive, tmp_path):
    folder, *_ = drive
    done = ran(python, "-m", "kdgat_device.command", folder / "model.onnx", input="no frame\n(1.0) can0 1A0#00\n(2.0) can0 1#0")
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 lines are no frames" in done.stderr
    (tmp_path / "other.onnx").write_text("nothing")
    done = ran(python, "-m", "kdgat_device.command", tmp_path / "other.onnx", input="")
    assert done.returncode == 2
    assert "other.onnx is not a model" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sizes_in_its_sources_are_those_of_the_schema():
    source = (CHECKOUT / "deployments" / "device" / "setup.py").read_text()
    assert f"#define KDGAT_FEATURES {RELATIVE.continuous}\n" in source
    assert f"#define KDGAT_EDGE_FEATURES {len(RELATIVE.edge_features)}" in source

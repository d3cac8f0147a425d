"""Every form has a file, and says how it is used."""

import sys
from typing import get_args

import pytest
from exported import capture, checkpoint, data_of

from kdgat_models.errors import UnsupportedError
from kdgat_models.export.export import SUFFIXES, Form, export_model
from kdgat_models.export.onnx import OnnxClassifier

SMALL = {"gat.hidden": 6, "gat.layers": 1, "gat.heads": 2, "gat.embedding_dim": 2}


@pytest.fixture(scope="module")
def model():
    return checkpoint(data_of(capture(3.0)), **SMALL)


@pytest.mark.parametrize("form", get_args(Form))
def test_each_form_is_one_file(model, tmp_path, form):
    target = tmp_path / "new" / f"model{SUFFIXES[form]}"
    report = export_model(model, form, target)
    assert (report.form, report.path, report.size) == (form, target, target.stat().st_size)
    assert report.use
    assert list(target.parent.iterdir()) == [target]
    if form.startswith("onnx"):
        assert OnnxClassifier(target).description["schema"] == model.schema


def test_an_unknown_form_is_refused_with_those_that_there_are(model, tmp_path):
    with pytest.raises(UnsupportedError, match="'tflite'; there are: onnx, onnx-int8, torch, c"):
        export_model(model, "tflite", tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_not_installed_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UnsupportedError, match=r"onnx needs onnxscript.*kdgat\[export\]"):
        export_model(model, "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())

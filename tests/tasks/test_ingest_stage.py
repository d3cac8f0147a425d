"""The stage that reads all captures of a dataset: what their files may be called."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny

from kdgat_models.errors import CaptureError
from kdgat_models.graphs.build import build_store, named
from kdgat_models.graphs.store import GraphStore
from tasks.artifact import Artifact
from tasks.raw import raw_artifact
from tasks.stages.ingest import ingest

ROWS = "".join(f"{i / 100:.2f},{i % 7:03X},{i:04X},{i % 2}\n" for i in range(250))


def dataset_with(folder: Path, *names: str) -> Artifact:
    """A dataset with captures of these names, each with traffic of its own."""
    split = folder / "train_02_with_attacks"
    split.mkdir(parents=True)
    for number, name in enumerate(names):
        header = "timestamp,arbitration_id,data_field,attack\n"
        (split / name).write_text(header + ROWS + f"{10 + number},001,00,1\n", encoding="ascii")
    return raw_artifact("demo", folder)


def test_captures_may_have_odd_names(tmp_path):
    attacks = {
        "-kia": "unknown",
        "_data": "unknown",
        "[x]": "[x]",
        "*": "*",
        "two words-kia": "two words",
        "für später": "für später",
        "a.b": "a.b",
        "%s{0}": "%s{0}",
    }
    raw = dataset_with(tmp_path / "raw", *(f"{name}.csv" for name in attacks))
    captures = ingest(tiny(), tmp_path / "captures", raw, "error")
    assert captures.summary["frames"] == 251 * len(attacks)
    paths = [captures.path / "train_02_with_attacks" / f"{name}.parquet" for name in attacks]
    report = build_store([named(path) for path in paths], tmp_path / "store", tiny().preprocessing, training=True)
    assert report.windows == 2 * len(attacks)
    found = {capture.name: capture.attack_type for capture in GraphStore(tmp_path / "store").captures}
    assert found == attacks
    assert np.all(GraphStore(tmp_path / "store").attack_type >= 0)


@pytest.mark.parametrize("name", ["DoS#1.csv", "two\nlines.csv", os.fsdecode(b"caf\xe9.csv"), "x" * 201 + ".csv"])
def test_a_name_that_nothing_could_be_called_is_one_message(tmp_path, name):
    with pytest.raises(CaptureError, match=r"a capture cannot be called .*rename the file") as caught:
        ingest(tiny(), tmp_path / "captures", dataset_with(tmp_path / "raw", name), "error")
    assert str(caught.value).isprintable()
    str(caught.value).encode()


def test_a_hidden_file_is_no_capture(tmp_path):
    raw = dataset_with(tmp_path / "raw", ".csv", "normal.csv")
    assert ingest(tiny(), tmp_path / "captures", raw, "error").summary["captures"] == 1

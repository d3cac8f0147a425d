"""Datasets of one's own: where they are read from, and what is said of a file that is wrong."""

import os

import pytest

from config import ConfigError
from config.catalog import catalog, dataset_entry, origin

VAN = """
datasets:
  van:
    domain: automotive
    source: recorded in our yard
    licence: ours
    readers: [four_column_csv]
    splits:
      train_01_attack_free: {role: train}
      test_01: {role: test}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    monkeypatch.delenv("KDGAT_CATALOG", raising=False)
    return tmp_path


def test_datasets_of_the_root_and_of_a_named_file_stand_beside_ours(root, monkeypatch):
    ours = list(catalog())
    (root / "datasets.yaml").write_text(VAN)
    named = root / "elsewhere.yaml"
    named.write_text(VAN.replace("van:", "truck:"))
    monkeypatch.setenv("KDGAT_CATALOG", str(named))
    assert list(catalog()) == [*ours, "van", "truck"]
    assert (origin("demo"), origin("van"), origin("truck")) == ("built in", str(root / "datasets.yaml"), str(named))
    assert dataset_entry("van").splits["test_01"].role == "test"


def test_a_file_that_is_changed_is_read_again(root):
    own = root / "datasets.yaml"
    own.write_text(VAN)
    assert dataset_entry("van").licence == "ours"
    own.write_text(VAN.replace("licence: ours", "licence: theirs"))
    os.utime(own, ns=(1, 1))
    assert dataset_entry("van").licence == "theirs"
    own.unlink()
    with pytest.raises(ConfigError, match="unknown dataset 'van'"):
        dataset_entry("van")


def test_a_dataset_that_two_files_have_is_refused(root):
    (root / "datasets.yaml").write_text(VAN.replace("van:", "demo:"))
    with pytest.raises(ConfigError, match=r"the dataset demo is in .*config/datasets.yaml and in .*; give one another name"):
        catalog()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            ("role: train", "role: training"),
            r"van.splits.train_01_attack_free.role: Input should be 'train' or 'test'",
        ),
        (("domain: automotive\n", "colour: red\n"), r"datasets.van.domain: Field required\n .*colour: Extra inputs"),
        (("readers: [four_column_csv]", "readers: []"), "datasets.van: .*readers is empty"),
        (("{role: train}", "{role: test}"), "datasets.van: .*no split has the role train"),
        (("  van:", "  ../van:"), r"datasets.\.\./van.\[key\]: String should match pattern"),
        (("test_01:", "test/01:"), "String should match pattern"),
        (("datasets:", "data:"), "datasets: Field required"),
        (("van:", "van: ["), "is not a readable catalogue"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused_by_file_and_field(root, wrong, said):
    assert wrong[0] in VAN
    (root / "datasets.yaml").write_text(VAN.replace(*wrong))
    with pytest.raises(ConfigError, match=said) as refused:
        catalog()
    assert str(root / "datasets.yaml") in str(refused.value)


def test_a_named_file_that_is_not_there_is_refused(root, monkeypatch):
    monkeypatch.setenv("KDGAT_CATALOG", str(root / "typo.yaml"))
    with pytest.raises(ConfigError, match=r"typo.yaml cannot be read: No such file .* see --catalog"):
        catalog()


def test_the_file_of_the_root_may_be_named_too(root, monkeypatch):
    (root / "datasets.yaml").write_text(VAN)
    monkeypatch.setenv("KDGAT_CATALOG", str(root / "datasets.yaml"))
    assert "van" in catalog()


@pytest.mark.parametrize("name", ["store", "runs", "official", "leave-one-vehicle-out"])
def test_a_dataset_cannot_take_a_folder_of_the_root(root, name):
    (root / "datasets.yaml").write_text(VAN.replace("van:", f"{name}:"))
    with pytest.raises(ConfigError, match=f"a folder of the root is called {name} already: choose another name"):
        catalog()

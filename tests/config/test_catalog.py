"""What the catalogue says of a dataset, and what of it is found on disk."""

import pytest

from config import ConfigError
from config.catalog import CAPTURE_SUFFIXES, DatasetEntry, catalog, dataset_entry, dataset_folder, find_captures, stated_vehicle
from config.paths import Paths
from config.resolver import resolve


@pytest.mark.parametrize(
    ("dataset", "split", "capture", "vehicle"),
    [
        ("hcrl_sa", "train_01_attack_free", "attack-free-kia", "KIA Soul"),
        ("hcrl_sa", "test_01_known_vehicle_known_attack", "flooding-sonata", "Hyundai Sonata"),
        ("hcrl_sa", "train_02_with_attacks", "fuzzy-spark", "Chevrolet Spark"),
        ("hcrl_sa", "train_02_with_attacks", "fuzzy-unknown", None),
        ("hcrl_sa", "train_02_with_attacks", "kia-fuzzy", None),
        ("hcrl_ch", "test_01_DoS", "whatever", "KIA Soul"),
        ("demo", "train_01_attack_free", "normal-alpha", "alpha"),
        ("set_01", "train_01_attack_free", "accessory-1", "Chevrolet Impala"),
        ("set_01", "train_02_with_attacks", "accessory-1", None),  # the split counts
        ("set_01", "train_01_attack_free", "driving-1", None),
    ],
)
def test_the_catalogue_states_the_vehicle_of_some_captures(dataset, split, capture, vehicle):
    assert stated_vehicle(dataset, split, capture) == vehicle


def test_every_dataset_says_what_it_is():
    for name, entry in catalog().items():
        assert entry.simulated == (name == "demo")
        assert entry.domain == "automotive"
        assert entry.source
        assert entry.licence
        assert set(entry.splits) >= {"train_01_attack_free"}
        assert {split.role for label, split in entry.splits.items() if label.startswith("train")} == {"train"}
        assert {split.role for label, split in entry.splits.items() if label.startswith("test")} == {"test"}
        assert "four_column_csv" in entry.readers
    assert catalog() is catalog()


def test_an_unknown_dataset_lists_all_and_names_the_nearest_if_there_is_one():
    known = "demo, hcrl_ch, hcrl_sa, set_01, set_02, set_03, set_04"
    with pytest.raises(ConfigError) as unlike:
        dataset_entry("xyz")
    assert str(unlike.value) == f"unknown dataset 'xyz'; `kdgat datasets` lists: {known}."
    with pytest.raises(ConfigError) as like:
        dataset_entry("demmo")
    assert str(like.value) == f"unknown dataset 'demmo'; `kdgat datasets` lists: {known}. Did you mean demo?"


@pytest.fixture
def dataset(tmp_path):
    """A function that makes files of set_01; of each text, SPLIT/CAPTURE."""

    def make(*files):
        for file in files:
            path = tmp_path / "set_01" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        return tmp_path / "set_01"

    return make


def test_captures_of_every_kind_are_found_in_the_order_of_their_names(dataset):
    letters = "utsrqponmlkjihgfedcba"
    names = [f"{letter}{suffix}" for letter, suffix in zip(letters, sorted(CAPTURE_SUFFIXES), strict=True)]
    kinds = [".csv", ".txt", ".log", ".asc", ".trc", ".blf", ".mf4"]
    assert set(CAPTURE_SUFFIXES) == {f"{kind}{packed}" for kind in kinds for packed in ("", ".gz", ".zst")}
    folder = dataset(*(f"train_01_attack_free/{name}" for name in names), "test_05_suppress/SHOUTED.CSV")
    found = find_captures("set_01", folder)
    assert found.folder == folder
    assert found.captures == {
        "train_01_attack_free": [folder / "train_01_attack_free" / name for name in sorted(names)],
        "test_05_suppress": [folder / "test_05_suppress" / "SHOUTED.CSV"],
    }
    assert found.absent == [
        "train_02_with_attacks",
        "test_01_known_vehicle_known_attack",
        "test_02_unknown_vehicle_known_attack",
        "test_03_known_vehicle_unknown_attack",
        "test_04_unknown_vehicle_unknown_attack",
        "test_06_masquerade",
    ]


def test_hidden_files_folders_and_what_is_in_no_split_are_no_captures(dataset):
    folder = dataset("train_01_attack_free/a.csv", "train_01_attack_free/.hidden.log", "train_01_attack_free/sub/notes.md")
    (folder / "train_99").mkdir()
    (folder / "train_99" / "c.csv").write_text("x")
    assert find_captures("set_01", folder).captures == {"train_01_attack_free": [folder / "train_01_attack_free" / "a.csv"]}


def test_a_split_with_attacks_alone_is_training_data_too(dataset):
    folder = dataset("train_02_with_attacks/a.csv")
    assert list(find_captures("set_01", folder).captures) == ["train_02_with_attacks"]


def test_the_folder_of_that_name_wins_over_the_folder_itself(tmp_path):
    for folder in (tmp_path / "set_01", tmp_path):
        (folder / "train_01_attack_free").mkdir(parents=True)
    assert dataset_folder("set_01", tmp_path, Paths(tmp_path / "root")) == tmp_path / "set_01"
    assert dataset_folder("set_02", tmp_path, Paths(tmp_path / "root")) == tmp_path


def test_any_split_will_do_and_the_folder_is_absolute(tmp_path, monkeypatch):
    (tmp_path / "set_01" / "test_06_masquerade").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert dataset_folder("set_01", type(tmp_path)(), Paths(tmp_path)) == tmp_path / "set_01"


def test_simulated_traffic_is_below_the_root_unless_it_is_elsewhere(tmp_path):
    paths = Paths(tmp_path / "root")
    assert dataset_folder("demo", None, paths) == paths.raw("demo")
    (tmp_path / "demo" / "train_01_attack_free").mkdir(parents=True)
    assert dataset_folder("demo", tmp_path, paths) == tmp_path / "demo"


def test_what_a_dataset_needs_goes_into_its_configs_and_into_no_others(monkeypatch):
    entry = catalog()["demo"].model_copy(update={"resources": {"memory_gb": {"graphs": 9.0}}})
    monkeypatch.setitem(catalog(), "demo", entry)
    assert resolve("vgae", "large").resources.memory_gb["graphs"] == 9  # the dataset of the defaults
    assert resolve("vgae", "large", dataset="set_01").resources.memory_gb.get("graphs") != 9
    assert resolve("vgae", "large", dataset="one_of_my_own").resources.memory_gb.get("graphs") != 9


def test_a_capture_that_would_be_passed_over_is_named(dataset):
    folder = dataset("train_01_attack_free/a.csv", "test_05_suppress/notes/readme.md")
    assert list(find_captures("set_01", folder).captures) == ["train_01_attack_free"]
    link = folder / "train_01_attack_free" / "b.csv"
    link.symlink_to(folder / "gone.csv")
    with pytest.raises(ConfigError, match=r"b\.csv is a link to .*gone\.csv, which is not there"):
        find_captures("set_01", folder)
    link.unlink()
    dataset("train_01_attack_free/monday/c.csv")
    with pytest.raises(ConfigError, match=r"monday is a folder with captures in it, .* move them to .*train_01_attack_free$"):
        find_captures("set_01", folder)


def test_an_entry_need_not_state_vehicles_or_resources_and_is_recorded_unless_it_says_otherwise(monkeypatch):
    stated = {
        "domain": "automotive",
        "source": "x",
        "licence": "x",
        "readers": ["hcrl_csv"],
        "splits": {"a": {"role": "train"}},
    }
    entry = DatasetEntry.model_validate(stated)
    assert (entry.vehicles, entry.resources, entry.simulated) == ({}, {}, False)
    monkeypatch.setitem(catalog(), "mine", entry)
    assert stated_vehicle("mine", "train_01_attack_free", "drive") is None

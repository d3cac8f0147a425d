import pytest

from config import ConfigError
from config.catalog import catalog, dataset_entry, dataset_folder, find_captures
from config.paths import COMPLETE, Paths, versions, without_password


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


def test_a_second_run_is_a_version_beside_the_first(paths):
    family = paths.of("demo") / "graphs"
    first = paths.run_folder(family, "a" * 32)
    (first.path / COMPLETE).write_text("{}")
    second = paths.run_folder(family, "a" * 32)
    assert first.path != second.path
    assert first.path.parent == second.path.parent == family


def test_an_unfinished_run_of_the_same_key_is_gone_on_with(paths):
    family = paths.of("demo") / "graphs"
    first = paths.run_folder(family, "a" * 32)
    assert paths.run_folder(family, "a" * 32) == first
    assert paths.run_folder(family, "b" * 32) != first


def test_versions_are_those_that_are_complete_the_oldest_first(paths):
    family = paths.of("demo") / "graphs"
    folders = [paths.run_folder(family, key * 32).path for key in "abc"]
    assert versions(family) == []
    for folder in folders[:2]:
        (folder / COMPLETE).write_text("{}")
    assert versions(family) == folders[:2]


def test_a_dataset_name_that_is_no_folder_name_is_refused(paths):
    with pytest.raises(ConfigError, match="folder name"):
        paths.of("../x")


def test_every_dataset_of_the_catalogue_has_train_and_test_splits():
    assert set(catalog()) == {"demo", "hcrl_ch", "hcrl_sa", "set_01", "set_02", "set_03", "set_04"}
    for entry in catalog().values():
        assert {split.role for split in entry.splits.values()} == {"train", "test"}


def test_an_unknown_dataset_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean hcrl_sa"):
        dataset_entry("hcrl_as")


def test_absent_splits_are_reported_and_not_an_error(tmp_path):
    split = tmp_path / "hcrl_sa" / "train_01_attack_free"
    split.mkdir(parents=True)
    (split / "attack-free-kia.csv").write_text("x")
    folder = dataset_folder("hcrl_sa", tmp_path, Paths(tmp_path))
    found = find_captures("hcrl_sa", folder)
    assert list(found.captures) == ["train_01_attack_free"]
    assert len(found.absent) == len(dataset_entry("hcrl_sa").splits) - 1


def test_a_folder_may_also_be_the_dataset_itself(tmp_path):
    (tmp_path / "train_01_attack_free").mkdir()
    assert dataset_folder("set_01", tmp_path, Paths(tmp_path)) == tmp_path


def test_a_folder_without_any_split_is_an_error_that_shows_the_layout(tmp_path):
    with pytest.raises(ConfigError, match="train_01_attack_free"):
        dataset_folder("set_01", tmp_path, Paths(tmp_path))


def test_recorded_data_without_a_folder_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="--data-dir"):
        dataset_folder("set_01", None, Paths(tmp_path))


def test_a_dataset_without_training_captures_is_an_error(tmp_path):
    (tmp_path / "test_05_suppress").mkdir()
    (tmp_path / "test_05_suppress" / "a.csv").write_text("x")
    with pytest.raises(ConfigError, match="no training capture"):
        find_captures("set_01", tmp_path)


def test_a_foreign_file_in_a_split_is_an_error_not_skipped(tmp_path):
    (tmp_path / "train_01_attack_free").mkdir()
    (tmp_path / "train_01_attack_free" / "a.pdf").write_text("x")
    with pytest.raises(ConfigError, match="not a capture"):
        find_captures("set_01", tmp_path)


def test_an_address_is_shown_without_its_password():
    assert without_password("no route to https://me:secret@host/mlflow today") == "no route to https://host/mlflow today"
    assert without_password("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"

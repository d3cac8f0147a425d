import os
import stat
import subprocess
import sys

import pytest

from config.access import FORM, access_key, key_file
from config.errors import ConfigError
from config.secrets import without_secrets


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    before = os.umask(0)  # however generous the user is otherwise
    try:
        key = access_key(tmp_path)
    finally:
        os.umask(before)
    assert FORM.fullmatch(key)
    assert access_key(tmp_path) == key
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file(tmp_path).parent.stat().st_mode) == 0o700
    assert [file.name for file in key_file(tmp_path).parent.iterdir()] == ["key"]


def test_two_roots_have_two_keys(tmp_path):
    assert access_key(tmp_path / "a") != access_key(tmp_path / "b")


def test_processes_that_start_at_the_same_time_get_the_same_key(tmp_path):
    script = (
        "import pathlib, sys, time\nfrom config.access import access_key\n"
        "go = pathlib.Path(sys.argv[1]) / 'go'\nprint('ready', flush=True)\n"
        "while not go.exists():\n    pass\n"
        "print(access_key(pathlib.Path(sys.argv[1])))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert all(process.stdout.readline() == "ready\n" for process in processes)
    (tmp_path / "go").touch()
    keys = {process.communicate()[0].strip() for process in processes}
    assert len(keys) == 1
    assert FORM.fullmatch(keys.pop())


@pytest.mark.parametrize("text", ["", "kdgat:", "kdgat:short", "another:" + 43 * "x", "kdgat:" + 43 * "x" + "\nmore"])
def test_a_damaged_key_is_an_error_and_not_a_weak_key(tmp_path, text):
    access_key(tmp_path)
    key_file(tmp_path).write_text(text)
    with pytest.raises(ConfigError, match="is damaged"):
        access_key(tmp_path)


def test_a_key_that_others_can_read_is_refused(tmp_path):
    access_key(tmp_path)
    key_file(tmp_path).chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        access_key(tmp_path)


def test_a_link_in_the_place_of_the_key_is_not_followed(tmp_path):
    access_key(tmp_path / "theirs")
    key_file(tmp_path).parent.mkdir(mode=0o700)
    key_file(tmp_path).symlink_to(key_file(tmp_path / "theirs"))
    with pytest.raises(ConfigError, match="cannot be read or made"):
        access_key(tmp_path)


def test_secrets_are_told_by_their_names_and_by_passwords_in_addresses():
    harmless = {"PATH": "/bin", "HOME": "/root", "CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "2", "URI": "http://host/x"}
    secret = {
        "PREFECT_API_KEY": "x",
        "PREFECT_API_AUTH_STRING": "x",
        "MLFLOW_TRACKING_PASSWORD": "x",
        "MLFLOW_TRACKING_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "GOOGLE_APPLICATION_CREDENTIALS": "/x",
        "SSH_AUTH_SOCK": "/x",
        "AZURE_STORAGE_CONNECTION_STRING": "x",
        "my_password": "x",
        "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql://me:x@host/db",
        "https_proxy": "http://me:x@proxy:3128",
    }
    assert without_secrets(harmless | secret) == harmless

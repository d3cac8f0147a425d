"""An environment of its own in which the example of a package is installed."""

import os
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

from config.paths import CHECKOUT

EXAMPLE = CHECKOUT / "examples" / "plugin"


def example_environment(folder: Path) -> Callable[..., str]:
    """A function that runs Python of an environment in `folder`; gives what was printed.

    Libraries come from the environment of the tests, KD-GAT from this checkout, and only the example is its own.
    """
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "shared.pth").write_text(f"{CHECKOUT}\n{sysconfig.get_path('purelib')}\n")
    shutil.copytree(EXAMPLE, folder / "source")  # setuptools writes beside its sources
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def run(*arguments: str) -> str:
        command = [str(folder / "venv" / "bin" / "python"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, check=False, cwd=folder, env={**environment, "COLUMNS": "300"}
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run("-m", "pip", "install", *options, str(folder / "source"))
    assert (site / "kdgat_example").is_dir()
    return run

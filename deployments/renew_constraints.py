"""Renew `constraints.txt`: install the newest versions that pyproject.toml allows into a fresh environment, and pin them.

    python deployments/renew_constraints.py            # writes constraints.txt; run the tests before you commit it
    python deployments/renew_constraints.py --check    # only says what no longer matches pyproject.toml; changes nothing

Without `--check` it needs a package index and some minutes.
"""

import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
CONSTRAINTS = CHECKOUT / "constraints.txt"
BY_VENV = ("pip", "setuptools", "wheel")  # which `pip freeze` leaves out
HEAD = "# Every version that the tests passed with. Renewed by `make constraints`; torch is the CPU build on a CPU machine.\n"


def requirements(pyproject: Path) -> list[Requirement]:
    """What the project requires, with what its development does."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = [text for texts in project.get("optional-dependencies", {}).values() for text in texts]
    return [Requirement(text) for text in [*project["dependencies"], *extras]]


def pins(text: str) -> dict[str, str]:
    """Pinned version by canonical name."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    parted = (line.partition("==") for line in lines if line)
    return {canonicalize_name(name.partition("[")[0].strip()): version.strip() for name, _, version in parted}


def mismatches(wanted: Iterable[Requirement], pinned: Mapping[str, str]) -> list[str]:
    """What is wrong with the pins, one sentence each: missing, not allowed by a requirement, or required by nobody.

    What packages require in turn is read from the metadata of those that are installed.
    """
    found, needed, waiting = [], set(), list(wanted)
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop(0)
        name = canonicalize_name(requirement.name)
        needed.add(name)
        if name in BY_VENV:
            continue
        if name not in pinned:
            found.append(f"{requirement} has no pin")
        elif requirement.specifier and not requirement.specifier.contains(pinned[name], prereleases=True):
            found.append(f"{name}=={pinned[name]} is not allowed by {requirement}")
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _required_by(name, extra)
    found += [f"{name} is pinned and nobody requires it" for name in sorted(set(pinned) - needed)]
    return list(dict.fromkeys(found))


def _required_by(name: str, extra: str) -> list[Requirement]:
    """What an installed package requires here, of itself ("") or for an extra; nothing if it is not installed."""
    try:
        texts = distribution(name).requires or []
    except PackageNotFoundError:
        return []
    parsed = [Requirement(text) for text in texts]
    return [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": extra})]


def renewed() -> str:
    """The text of a new constraints.txt."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-e", f"{CHECKOUT}[dev]"], check=True)
        options = ["--exclude-editable", "--exclude", "kdgat"]
        frozen = subprocess.run([python, "-m", "pip", "freeze", *options], check=True, capture_output=True, text=True).stdout
    lines = [line.partition("+")[0] for line in frozen.splitlines() if "==" in line]  # torch's +cpu is no version of PyPI
    return HEAD + "\n".join(sorted(lines, key=str.lower)) + "\n"


def main(arguments: list[str]) -> int:
    if "--check" not in arguments:
        CONSTRAINTS.write_text(renewed())
    wrong = mismatches(requirements(CHECKOUT / "pyproject.toml"), pins(CONSTRAINTS.read_text()))
    print("\n".join(wrong) or f"{CONSTRAINTS.name} matches pyproject.toml")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

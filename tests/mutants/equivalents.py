"""Mutants that nothing can tell from the original, with the reason."""

import tomllib
from pathlib import Path
from typing import NamedTuple

EQUIVALENTS = Path(__file__).with_name("equivalent.toml")


class Equivalent(NamedTuple):
    """Found again by its place and its change, so that an entry whose code is another is stale."""

    file: str
    function: str
    diff: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.function, self.diff


def read(path: Path) -> list[Equivalent]:
    entries = tomllib.loads(path.read_text()).get("equivalent", [])
    return [Equivalent(one["file"], one["function"], one["diff"].strip(), one["reason"]) for one in entries]

"""docs/extending.md says for each kind which file and which line; here it is held to the registry."""

import re

import pytest
from pages import CHECKOUT

from config.plugins import PREFIX, find
from config.registry import REGISTRY
from kdgat_models import testing

TEXT = (CHECKOUT / "docs" / "extending.md").read_text()
SECTIONS = {
    group: section
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    for group in re.findall(rf"^- Group `{PREFIX}(\w+)`", section, re.MULTILINE)
}
FILLED = [kind for kind, entry in REGISTRY.items() if entry.built_in]


def test_each_kind_has_its_section_and_each_section_its_kind():
    assert set(SECTIONS) == set(REGISTRY)
    assert TEXT.count("\n## ") == len(SECTIONS)


@pytest.mark.parametrize("kind", FILLED)
def test_the_line_that_a_section_shows_stands_in_the_registry_and_its_file_is_there(kind):
    (line,) = re.findall(r'^- Line: `"([^"]+)": "([^"]+)"`$', SECTIONS[kind], re.MULTILINE)
    name, reference = line
    assert find(kind, name).reference == reference
    assert f"`{reference.partition(':')[0].replace('.', '/')}.py`" in SECTIONS[kind]


@pytest.mark.parametrize("kind", [kind for kind in REGISTRY if kind not in ("stages", "hooks")])
def test_the_check_that_a_section_names_is_one(kind):
    (check,) = re.findall(r"check `(\w+)\(", SECTIONS[kind])
    assert check in testing.__all__


def test_every_check_is_named():
    assert set(re.findall(r"check `(\w+)\(", TEXT)) == {name for name in testing.__all__ if name.startswith("check_")}


@pytest.mark.parametrize("kind", [kind for kind in FILLED if kind != "stages"])  # flows and settings name some of them
def test_nothing_that_is_built_in_is_listed_a_second_time_in_a_literal(kind):
    """A new thing is one file and one line: no list of names is repeated anywhere in the code."""
    names = sorted(REGISTRY[kind].built_in)
    pattern = re.compile(r"Literal\[([^\]]*)\]")
    for package in ("config", "kdgat_models", "tasks", "flows"):
        for file in (CHECKOUT / package).rglob("*.py"):
            for found in pattern.finditer(file.read_text()):
                listed = sorted(re.findall(r'"([^"]+)"', found[1]))
                assert not (len(names) > 2 and set(names) <= set(listed)), file
